"""Fixtures of the tests of services."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from tornado.ioloop import IOLoop

from devtools.simulator.simulator import Simulator
from tencent.service_client import ServiceClient
from tests.support.im_relay import RelayFixture
from tests.support.refunds import RefundFixture
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock


@pytest.fixture
def relays(
    simulator: Simulator,
    sim_url: str,
    make_service_client: Callable[..., ServiceClient],
    clock: Clock,
    stores: StoresFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> RelayFixture:
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    client = make_service_client("im", sim_url, timeout=10.0)
    return RelayFixture(simulator, client, clock, stores)


@pytest.fixture
def refunds(io_loop: IOLoop, stores: StoresFixture) -> RefundFixture:
    fixture: RefundFixture = io_loop.run_sync(lambda: RefundFixture.create(stores))
    return fixture
