"""A client that writes its WebSocket frames by hand, and so may write them wrong."""

import asyncio
import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from websockets.protocol import CLIENT, OPEN, Protocol

from tests import described
from tests.phones import BASE, WAIT, Phone

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN = 0x80
KEY = b"mask"


def framed(opcode: int, payload: bytes, *, head: int = FIN) -> bytes:
    """One frame; `head` are the bits beside the opcode."""
    size = len(payload)
    if size < 126:
        wire = bytes((head | opcode, 0x80 | size))
    else:
        wire = struct.pack("!BBH", head | opcode, 0x80 | 126, size)
    return wire + KEY + bytes(byte ^ KEY[n % 4] for n, byte in enumerate(payload))


class Wire:
    """One socket, which answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._reader = reader
        self._parser = Protocol(CLIENT, state=OPEN)
        self._found: list[Any] = []

    async def send(self, opcode: int, payload: bytes, **how: Any) -> None:
        self.writer.write(framed(opcode, payload, **how))
        await self.writer.drain()

    async def say(self, **frame: Any) -> None:
        await self.send(TEXT, json.dumps(frame).encode())

    async def next(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next frame; None at the end, however it comes."""
        while not self._found:
            try:
                data = await asyncio.wait_for(self._reader.read(65536), WAIT)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._parser.receive_data(data)
            self._found += self._parser.events_received()
        frame = self._found.pop(0)
        if frame.opcode == TEXT:
            described.check_frame(frame.data)
        return int(frame.opcode), bytes(frame.data)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def until_close(self) -> list[tuple[int, bytes]]:
        """All frames up to the close frame, but for audiences."""
        frames: list[tuple[int, bytes]] = []
        while not frames or frames[-1][0] != CLOSE:
            found = await self.next()
            assert found is not None, "the connection ended without a close frame"
            if b'"audience"' not in found[1]:
                frames.append(found)
        return frames

    async def rest(self) -> list[tuple[int, bytes]]:
        """All frames until the connection ends."""
        frames = []
        while frame := await self.next():
            frames.append(frame)
        return frames


async def dial(phone: Phone, at_once: Sequence[tuple[int, bytes]] = ()) -> Wire:
    """A socket of this phone's into its room, after the snapshot; or, with frames (opcode,
    payload) that leave together with the handshake, before anything was read."""
    host, _, port = phone.street.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {BASE}ws/?live_id={phone.live_id} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: QLiveToken {phone.token}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        + b"".join(framed(opcode, payload) for opcode, payload in at_once)
    )
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    wire = Wire(reader, writer)
    if at_once:
        return wire
    found = await wire.next()
    assert found is not None
    assert json.loads(found[1])["type"] == "snapshot"
    return wire
