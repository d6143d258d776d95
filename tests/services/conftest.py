"""Fixtures of the tests of services."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from devtools.simulator.simulator import Simulator
from tencent.service_client import ServiceClient
from tests.support import im_relay
from tests.support.im_relay import RelayFixture
from tests.support.refunds import RefundFixture
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock


@pytest.fixture
def relays(
    io_loop: IOLoop,
    simulator: Simulator,
    sim_url: str,
    make_service_client: Callable[..., ServiceClient],
    clock: Clock,
    mongo_uri: str,
    mongo: MongoClient[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RelayFixture]:
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    mongo[im_relay.NAME]["relay_cursors"].delete_many({})
    mongo[im_relay.NAME]["outbox"].delete_many({})
    client = make_service_client("im", sim_url, timeout=10.0)
    fixture = RelayFixture(simulator, client, clock, mongo_uri)
    io_loop.run_sync(fixture.store.make_indexes)
    yield fixture
    io_loop.run_sync(fixture.database.close)


@pytest.fixture
def refunds(io_loop: IOLoop, stores: StoresFixture) -> RefundFixture:
    fixture: RefundFixture = io_loop.run_sync(lambda: RefundFixture.create(stores))
    return fixture
