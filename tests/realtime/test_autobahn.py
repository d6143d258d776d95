"""The framing against the cases of the Autobahn test suite."""

import asyncio
from contextlib import closing, suppress
from typing import Any

import pytest
from kosoku import FailureError, run_fuzzingclient

from realtime import wire
from tests.support.client_frames import BINARY, TEXT, frame
from tests.support.waiting import WAIT_SECONDS

FRAMING = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LIMITS = ["9.*"]
DEVIATIONS = {"NON-STRICT", "INFORMATIONAL"}
"""Verdicts of conforming behaviour that the RFC only recommends or leaves open."""
MESSAGE_BYTES = 16 * 1024 * 1024
READ_BYTES = 64 * 1024


@pytest.mark.parametrize("cases", [FRAMING, LIMITS], ids=["framing", "limits"])
async def test_framing_passes_the_autobahn_cases(cases: list[str]) -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        results = await _run(f"ws://127.0.0.1:{port}", cases)
    assert len(results) > 40
    failed = {
        result.case_id: (result.behavior.value, result.behavior_close.value)
        for result in results
        if not result.passed
    }
    assert failed == {}
    assert sum(result.behavior.value in DEVIATIONS for result in results) < 10


async def _run(url: str, cases: list[str]) -> list[Any]:
    """The results; failed cases run once more, one by one, since each allows only a second."""
    try:
        return await run_fuzzingclient(url, cases=cases, concurrency=4)
    except FailureError as error:
        passed = [result for result in error.results if result.passed]
        failed = [result.case_id for result in error.results if not result.passed]
        assert len(failed) < 10, failed
        return passed + await run_fuzzingclient(url, cases=failed)


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
    async with asyncio.timeout(WAIT_SECONDS):
        while await reader.read(READ_BYTES):
            pass
