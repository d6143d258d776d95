"""The framing against the cases of the Autobahn test suite."""

import asyncio
from contextlib import closing, suppress

import pytest
from kosoku import run_fuzzingclient

from realtime import wire
from tests.support.client_frames import BINARY, TEXT, frame

FRAMING = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LIMITS = ["9.*"]
DEVIATIONS = {"NON-STRICT", "INFORMATIONAL"}
"""Verdicts of conforming behaviour that the RFC only recommends or leaves open."""
MESSAGE_BYTES = 16 * 1024 * 1024
READ_BYTES = 64 * 1024
CLOSE_SECONDS = 5.0


@pytest.mark.parametrize("cases", [FRAMING, LIMITS], ids=["framing", "limits"])
async def test_framing_passes_the_autobahn_cases(cases: list[str]) -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        results = await run_fuzzingclient(f"ws://127.0.0.1:{port}", cases=cases, concurrency=4)
    assert len(results) > 40
    failed = {
        result.case_id: (result.behavior.value, result.behavior_close.value)
        for result in results
        if not result.passed
    }
    assert failed == {}
    assert sum(result.behavior.value in DEVIATIONS for result in results) < 10


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts a WebSocket and echoes its messages, on `realtime.wire` alone."""
    with suppress(ConnectionError), closing(writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        key = {name.lower(): value for name, value in fields.items()}["sec-websocket-key"]
        writer.write(wire.upgrade_response(key))
        parser = wire.FrameParser(MESSAGE_BYTES)
        while data := await reader.read(READ_BYTES):
            for message in parser.feed(data):
                match message:
                    case wire.TextMessage(text):
                        writer.write(frame(TEXT, text.encode(), key=None))
                    case wire.BinaryMessage(payload):
                        writer.write(frame(BINARY, payload, key=None))
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
