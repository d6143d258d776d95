"""A WebSocket echo server on `realtime.wire` alone, for conformance tests."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime import wire

MESSAGE_BYTES = 16 * 1024 * 1024
READ_BYTES = 64 * 1024
CLOSE_SECONDS = 5.0


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Yields the port."""
    server = await asyncio.start_server(_serve, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        key = {name.lower(): value for name, value in fields.items()}["sec-websocket-key"]
        writer.write(wire.upgrade_response(key))
        await _echo(reader, writer)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    parser = wire.FrameParser(MESSAGE_BYTES)
    while data := await reader.read(READ_BYTES):
        for message in parser.feed(data):
            match message:
                case wire.TextMessage(text):
                    writer.write(_data_frame(wire.TEXT, text.encode()))
                case wire.BinaryMessage(payload):
                    writer.write(_data_frame(wire.BINARY, payload))
                case wire.PingMessage(payload):
                    writer.write(wire.pong_frame(payload))
                case wire.CloseMessage(code):
                    writer.write(wire.close_frame(code or 1000))
                    return
                case wire.ProtocolViolation():
                    writer.write(wire.close_frame(message.code, message.reason))
                    await _drain(reader, writer)
                    return
        await writer.drain()


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits for the client's close frame: a reset could overtake ours."""
    writer.write_eof()
    async with asyncio.timeout(CLOSE_SECONDS):
        while await reader.read(READ_BYTES):
            pass


def _data_frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 0x10000:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload
