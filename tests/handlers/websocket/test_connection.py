"""A connection: its answers to received frames, and its join when it had to wait for a slot.

The answers are bytes in, bytes out, without a server.
"""

import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.database import Database
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from websockets.protocol import CLIENT, OPEN, Protocol

from core.limits import ConcurrencyLimit
from handlers.websocket.connection import FRAME_BYTES, FRAMES_PER_SECOND, Connection, ConnectRequest
from runtime.process import ServerProcess
from services.rooms import room_access
from storage.accounts.users import User
from tests.support.api import ApiFixture
from tests.support.client_frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.client_frames import frame as encode_frame
from tests.support.database import blocked_writes
from tests.support.waiting import until

PROTOCOL_ERROR, INVALID_PAYLOAD, MESSAGE_TOO_BIG = 1002, 1007, 1009
BAD_FRAMES: list[str | bytes] = [
    *("", "{", "7", "[]", "null", '{"type":"sing"}', '{"type":"ping"}', "[" * 900),
    *('{"type":"ping","n":"\\ud800"}', '{"type":"ping","n":NaN}', '{"type":"ping","n":1e999}'),
    *('{"type":["ping"],"n":1}', '{"type":"auth","token":"again"}', b"\x00\xff", b"{}"),
]


class ConnectionFixture:
    """A connection on a socket pair; the test is the client."""

    def __init__(self) -> None:
        server_end, self._client = socket.socketpair()
        self._client.setblocking(False)
        self.stream = IOStream(server_end)
        context: Any = SimpleNamespace()
        self._connection = Connection(context, self.stream, ConnectRequest(1, None, "", ""))
        self._parser = Protocol(CLIENT, state=OPEN)

    def send(self, *sent: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every frame answered at once."""
        for data in sent:
            self._connection.receive(data)
        with suppress(BlockingIOError):
            while received := self._client.recv(65536):
                self._parser.receive_data(received)
        events: Any = self._parser.events_received()
        return [(int(frame.opcode), bytes(frame.data)) for frame in events]

    @property
    def received_at(self) -> float:
        return self._connection.writer.received_at

    def close(self) -> None:
        self.stream.close()
        self._client.close()


@pytest.fixture
def connection(io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectionFixture]:
    """The clock is frozen, so that the rate limit does not depend on the machine's speed."""
    monkeypatch.setattr(
        "handlers.websocket.connection.time", SimpleNamespace(monotonic=lambda: 7.0)
    )
    connection = ConnectionFixture()
    yield connection
    connection.close()


def ping(n: int) -> bytes:
    return encode_frame(TEXT, json.dumps({"type": "ping", "n": n}).encode())


def pong(n: int) -> tuple[int, bytes]:
    return TEXT, b'{"type":"pong","n":%d}' % n


def is_goodbye(code: int, answers: list[tuple[int, bytes]]) -> bool:
    """Whether the answers are exactly a bye and a close frame with that code."""
    (first_opcode, bye), (last_opcode, closing) = answers
    assert (first_opcode, last_opcode) == (TEXT, CLOSE)
    return (json.loads(bye)["code"], int.from_bytes(closing[:2], "big")) == (code, code)


@pytest.mark.parametrize("bad", BAD_FRAMES)
async def test_third_bad_frame_closes_the_connection(
    connection: ConnectionFixture, bad: str | bytes
) -> None:
    frame = encode_frame(TEXT, bad.encode()) if isinstance(bad, str) else encode_frame(BINARY, bad)
    assert connection.send(frame, frame, ping(1)) == [pong(1)]
    assert is_goodbye(4500, connection.send(frame))


@pytest.mark.parametrize(
    ("invalid", "code"),
    [
        (b"\x81\x02{}", PROTOCOL_ERROR),
        (encode_frame(TEXT, b"\xff\xfe{}"), INVALID_PAYLOAD),
        (encode_frame(TEXT, b"x" * (FRAME_BYTES + 1)), MESSAGE_TOO_BIG),
    ],
)
async def test_invalid_bytes_close_the_connection_after_earlier_frames_are_answered(
    connection: ConnectionFixture, invalid: bytes, code: int
) -> None:
    """All invalid frames and their codes: test_wire.py."""
    received, (opcode, closing) = connection.send(ping(1) + invalid + ping(2))
    assert received == pong(1)
    assert (opcode, int.from_bytes(closing[:2], "big")) == (CLOSE, code)
    assert closing[2:]
    assert connection.send(ping(3)) == []


@pytest.mark.parametrize(
    ("sent", "answered_code"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0f\xa0", 4000)],
)
async def test_close_frame_is_answered_and_the_connection_ends(
    connection: ConnectionFixture, sent: bytes, answered_code: int
) -> None:
    assert connection.send(encode_frame(CLOSE, sent)) == [(CLOSE, answered_code.to_bytes(2, "big"))]
    assert connection.stream.closed()


async def test_pings_within_the_rate_limit_are_answered_with_their_numbers_in_every_second(
    connection: ConnectionFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [-1, 1690000000123, *range(FRAMES_PER_SECOND - 2)]
    for now in (7.0, 8.0, 9.5):
        monkeypatch.setattr("handlers.websocket.connection.time.monotonic", lambda now=now: now)
        assert connection.send(*map(ping, numbers)) == [*map(pong, numbers)]


@pytest.mark.parametrize("opcode", [PING, PONG, TEXT])
async def test_frame_of_any_kind_over_the_rate_limit_closes_the_connection(
    connection: ConnectionFixture, opcode: int
) -> None:
    # A third empty text is one bad frame too many.
    remaining = 2 if opcode == TEXT else FRAMES_PER_SECOND
    for n in range(FRAMES_PER_SECOND - remaining):
        connection.send(ping(n))
    received = connection.send(*[encode_frame(opcode, b"")] * remaining)
    assert connection.received_at == 7.0, "the client is not silent"
    assert received == ([(PONG, b"")] * remaining if opcode == PING else [])
    assert is_goodbye(4029, connection.send(ping(0)))
    assert connection.send(ping(1)) == []


@pytest.mark.parametrize("first_frame", ["snapshot", "resumed"])
async def test_client_receives_nothing_of_the_room_before_its_registration_is_stored(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]], first_frame: str
) -> None:
    """Pings are answered meanwhile, in order with all other frames."""
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    snapshot = await (await host.connect()).next("snapshot")
    position = {"epoch": snapshot["epoch"], "since": snapshot["seq"]}
    with blocked_writes(db.members, guest.id):
        socket = await guest.connect(**position if first_frame == "resumed" else {})
        await until(lambda: server.context.stores.presence._registrar._queues)
        await api.user("anna", 2)  # takes several turns of the event loop and of MongoDB
        await socket.send(type="ping", n=1)
        assert (await socket.frame())["type"] == "pong"
    assert (await socket.frame())["type"] == first_frame


async def test_member_whose_socket_closes_while_it_joins_is_away(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    with blocked_writes(db.members, host.id):
        socket = await host.connect()
        await until(lambda: server.context.stores.presence._registrar._queues)
        socket.connection.transport.abort()
        await until(lambda: server.context.hub.open_count == 0)
    await until(lambda: (db.members.find_one({"_id": host.id}) or {}).get("away_at"))


@pytest.mark.parametrize(("ended_by", "code"), [("logout", 4401), ("ban", 4503)])
async def test_token_revoked_while_it_is_looked_up_closes_the_socket(
    api: ApiFixture,
    server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    ended_by: str,
    code: int,
) -> None:
    host = await api.host()
    services, tokens = server.context.services, server.context.stores.tokens
    look_up = tokens.user_of
    end: dict[str, Callable[[], Awaitable[object]]] = {
        "logout": lambda: services.accounts.sessions.end(host.id),
        "ban": lambda: services.rooms.removals.change_user(host.id, {"banned": True}),
    }

    async def revoke_after_read(token: str) -> User | None:
        user = await look_up(token)
        await end[ended_by]()
        await services.accounts.evictions.receive()
        return user

    monkeypatch.setattr(tokens, "user_of", revoke_after_read)
    frame = await (await host.connect()).frame()
    assert (frame["type"], frame.get("code")) == ("bye", code)


async def test_socket_that_waited_for_a_slot_does_not_replace_a_newer_one(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that changes networks reconnects before the server notices the loss."""
    monkeypatch.setattr(room_access, "SUPERSEDE_CHECK_SECONDS", 0)
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    server.context.join_limit = full_limit = ConcurrencyLimit(limit=1)
    async with full_limit:
        older = await guest.connect()
        await until(lambda: full_limit._slots._waiters)
        server.context.join_limit = ConcurrencyLimit(limit=1)
        newer = await guest.watch()
    bye = await older.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4000, True)
    await newer.send(type="ping", n=1)
    assert (await newer.next("pong"))["n"] == 1
