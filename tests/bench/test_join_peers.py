"""The peers of the benchmark of joins send what bench/fanout/crowd.c and a client need."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pymongo import MongoClient
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bench.fanout.servers import QLIVE_SOCKET_PATH
from bench.fixtures import disconnect_members
from bench.joins.clients import Members, create_members
from bench.joins.join_queries import BYE_CODE, JoinQueries, JoinRefused
from bench.joins.peers.tornado_ import join_routes
from rooms.room import Room
from rooms.snapshot import Snapshot
from tests.support.database import clear_database

NAME = "qlive_test_join_peers"
gen_test = pytest.mark.gen_test(timeout=20)


class JoinFixture(NamedTuple):
    """A live room with one event after the viewer's position."""

    queries: JoinQueries
    members: Members

    @property
    def room(self) -> Room:
        """The room before the event."""
        return self.members.rooms[0]

    async def join(self, **position: Any) -> list[str]:
        token = self.members.tokens[0]
        return await self.queries.join(f"QLiveToken {token}", self.room.live_id, **position)


@pytest.fixture
def joins(
    io_loop: IOLoop, mongo_uri: str, mongo: MongoClient[Any], tmp_path: Path
) -> Iterator[JoinFixture]:
    clear_database(mongo, NAME)

    async def create() -> JoinFixture:
        members = await create_members(mongo_uri, NAME, tmp_path, users=1, rooms=1)
        return JoinFixture(JoinQueries(mongo_uri, NAME), members)

    joins = io_loop.run_sync(create)
    yield joins
    io_loop.run_sync(joins.queries.close)


@asynccontextmanager
async def tornado_peer(queries: JoinQueries) -> AsyncIterator[int]:
    """A running peer; yields its port."""
    server = HTTPServer(Application(join_routes(queries)))
    listener, port = bind_unused_port()
    server.add_socket(listener)
    try:
        yield port
    finally:
        server.stop()
        await server.close_all_connections()


async def connect(port: int, line: str) -> WebSocketClientConnection:
    """Connect as crowd.c does; `line` is one of its token file."""
    token, suffix = line.split()
    url = f"ws://127.0.0.1:{port}{QLIVE_SOCKET_PATH}{suffix}"
    headers = {"Authorization": f"QLiveToken {token}"}
    return await websocket_connect(HTTPRequest(url, headers=headers))


@gen_test
async def test_the_tornado_peer_answers_joins_and_resumes(joins: JoinFixture) -> None:
    cases = ((joins.members.first_time, "snapshot"), (joins.members.again, "resumed"))
    async with tornado_peer(joins.queries) as port:
        for token_file, type_ in cases:
            socket = await connect(port, token_file.read_text())
            first = await socket.read_message()
            assert isinstance(first, str)
            assert first.startswith(f'{{"type":"{type_}"')
            socket.close()
            while await socket.read_message() is not None:
                pass


@gen_test
async def test_the_tornado_peer_refuses_an_unknown_token(joins: JoinFixture) -> None:
    async with tornado_peer(joins.queries) as port:
        socket = await connect(port, f"unknown {joins.room.live_id}")
        assert str(await socket.read_message()).startswith('{"type":"bye"')
        assert await socket.read_message() is None
        assert socket.close_code == BYE_CODE
        socket.close()


@gen_test
async def test_the_snapshot_has_the_fields_of_qlives_and_the_counts_of_the_room(
    joins: JoinFixture,
) -> None:
    (message,) = await joins.join()
    snapshot = json.loads(message)
    assert snapshot["seq"] == joins.room.version + 1
    assert snapshot["data"].keys() == Snapshot.__annotations__.keys()
    assert snapshot["data"]["owner"]["user_id"] == joins.room.host_id
    assert (snapshot["data"]["audience_count"], snapshot["data"]["num_list"]) == (2, [0, 1, 0, 0])


@gen_test
async def test_a_client_that_resumes_receives_the_events_that_it_has_missed(
    joins: JoinFixture,
) -> None:
    before, epoch = joins.room.version, joins.room.epoch
    resumed, audience = await joins.join(since=before + 1, epoch=epoch)
    assert json.loads(resumed)["replayed"] == 0
    assert json.loads(audience)["data"]["audience_count"] == 2
    resumed, event, _ = await joins.join(since=before, epoch=epoch)
    assert json.loads(resumed)["replayed"] == 1
    assert (json.loads(event)["seq"], json.loads(event)["type"]) == (before + 1, "profile")
    for since, other_epoch in ((before + 2, epoch), (before, "other")):
        (message,) = await joins.join(since=since, epoch=other_epoch)
        assert json.loads(message)["type"] == "snapshot"


@gen_test
async def test_a_join_marks_the_membership_until_the_members_are_disconnected(
    joins: JoinFixture, mongo: MongoClient[Any], mongo_uri: str
) -> None:
    members = mongo[NAME].members
    viewer = {"role": "viewer"}
    before = members.find_one(viewer)
    await joins.join()
    joined = members.find_one(viewer)
    assert joined is not None
    assert joined["process"]
    assert joined["socket"] == 1
    await disconnect_members(mongo_uri, NAME)
    after = members.find_one(viewer)
    assert before is not None
    assert after is not None
    for document in (before, after):
        document.pop("seen_at")
        document.pop("v")
    assert after == before


@gen_test
async def test_users_who_are_not_in_the_room_are_refused(joins: JoinFixture) -> None:
    with pytest.raises(JoinRefused):
        await joins.queries.join(f"QLiveToken {joins.members.tokens[0]}", joins.room.live_id + 1)
