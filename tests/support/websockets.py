"""Reads and collects frames of room sockets; a client that writes frames by hand."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from websockets.protocol import CLIENT, OPEN, Protocol

from tests.support import openapi_checks
from tests.support.api import BASE, WAIT, ApiClient, Socket
from tests.support.client_frames import TEXT, frame


async def next_events(socket: Socket, count: int) -> list[str]:
    """The next `count` frames as text, without audience and heartbeat."""
    texts: list[str] = []
    while len(texts) < count:
        text = await asyncio.wait_for(socket.connection.recv(), WAIT)
        if json.loads(text)["type"] not in ("audience", "heartbeat"):
            texts.append(text)
    return texts


async def read_close(socket: Socket) -> tuple[dict[str, Any], int]:
    """(bye frame, close code); reads everything before them."""
    while (frame := await socket.frame())["type"] != "bye":
        pass
    return frame, await socket.close_code()


async def close_code_of(socket: Socket) -> int:
    """The close code, which must agree with the bye frame before it."""
    bye, code = await read_close(socket)
    assert bye["code"] == code
    assert bye["reconnect"] == (code < 4500)
    return code


async def invite_repeatedly(host: ApiClient, guest: ApiClient, times: int) -> None:
    """Publishes `times` events: the host repeats an invitation."""
    for _ in range(times):
        (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=guest.id)).ok()


class RawWebSocket:
    """A WebSocket that answers no ping and no close by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._parser = Protocol(CLIENT, state=OPEN)
        self._frames: list[Any] = []

    async def send(self, opcode: int, payload: bytes) -> None:
        self.writer.write(frame(opcode, payload))
        await self.writer.drain()

    async def next(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next frame; None when the connection has ended."""
        while not self._frames:
            try:
                data = await asyncio.wait_for(self._reader.read(65536), WAIT)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._parser.receive_data(data)
            self._frames += self._parser.events_received()
        received = self._frames.pop(0)
        if received.opcode == TEXT:
            openapi_checks.check_frame(received.data)
        return int(received.opcode), bytes(received.data)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def connect_raw(
    client: ApiClient, pipelined: Sequence[tuple[int, bytes]] = ()
) -> RawWebSocket:
    """Opens a socket to the client's room and reads the snapshot.

    `pipelined` frames (opcode, payload) are sent with the handshake; then nothing is read.
    """
    host, _, port = client.api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {BASE}ws/?live_id={client.live_id} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: QLiveToken {client.token}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        + b"".join(frame(opcode, payload) for opcode, payload in pipelined)
    )
    response = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)
    assert response.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in response
    raw = RawWebSocket(reader, writer)
    if pipelined:
        return raw
    first = await raw.next()
    assert first is not None
    assert json.loads(first[1])["type"] == "snapshot"
    return raw
