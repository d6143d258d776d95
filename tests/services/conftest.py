"""Fixtures of the tests of services."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from tornado.ioloop import IOLoop

from config.sections import ImSettings
from devtools.simulator.simulator import Simulator
from tencent.im import ImClient
from tencent.service_client import ServiceClient
from tests.support.im_relay import RelayFixture
from tests.support.refunds import RefundFixture
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock


@pytest.fixture
def im(
    sim_url: str,
    make_service_client: Callable[..., ServiceClient],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> ImClient:
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    settings = ImSettings(sdk_app_id=1400000000, secret_key="im-key-of-the-tests")
    return ImClient(make_service_client("im", sim_url, timeout=10.0), settings)


@pytest.fixture
def relays(simulator: Simulator, im: ImClient, clock: Clock, stores: StoresFixture) -> RelayFixture:
    return RelayFixture(simulator, im, clock, stores)


@pytest.fixture
def refunds(io_loop: IOLoop, stores: StoresFixture) -> RefundFixture:
    fixture: RefundFixture = io_loop.run_sync(lambda: RefundFixture.create(stores))
    return fixture
