"""Memory and CPU time of the frame parser."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from realtime import wire
from realtime.wire import FrameParser
from tests.support.client_frames import BINARY, CONTINUATION, frame

TRACER_BYTES = 8000
"""Bytes that tracing itself may allocate."""


def allocated_bytes(allocate: Callable[[], Any]) -> tuple[int, int]:
    """Bytes allocated by `allocate` while its result is kept, and the peak.

    The minimum of three runs: the first may fill a cache, and other threads allocate, too.
    """
    gc.collect()
    tracemalloc.start()
    try:
        attempts = [_allocated_once(allocate) for _ in range(3)]
    finally:
        tracemalloc.stop()
    return min(now for now, _ in attempts), min(peak for _, peak in attempts)


def _allocated_once(allocate: Callable[[], Any]) -> tuple[int, int]:
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    result = allocate()
    now, peak = tracemalloc.get_traced_memory()
    del result
    return now - before, peak - before


@pytest.mark.parametrize("size", [0, 63])
def test_tiny_fragments_use_no_more_memory_than_their_bytes(size: int) -> None:
    fragment = frame(CONTINUATION, b"x" * size, final=False)

    def allocate() -> FrameParser:
        parser = FrameParser(65_536)
        assert parser.feed(frame(BINARY, final=False)) == []
        for _ in range(wire.MIN_FRAGMENTS - 1):
            assert parser.feed(fragment) == []
        return parser

    now, peak = allocated_bytes(allocate)
    assert now < 1.2 * size * wire.MIN_FRAGMENTS + TRACER_BYTES
    assert peak < 3 * size * wire.MIN_FRAGMENTS + TRACER_BYTES


def frame_byte_by_byte(size: int) -> tuple[bytes, list[bytes]]:
    sent = frame(BINARY, bytes(size), key=b"\0\0\0\1")
    return sent[:-1000], [sent[i : i + 1] for i in range(len(sent) - 1000, len(sent) - 1)]


def message_in_tiny_fragments(size: int) -> tuple[bytes, list[bytes]]:
    return frame(BINARY, bytes(size), final=False), [frame(CONTINUATION, b"x", final=False)] * 1000


@pytest.mark.parametrize("split", [frame_byte_by_byte, message_in_tiny_fragments])
def test_cpu_time_per_chunk_does_not_grow_with_buffered_data(
    split: Callable[[int], tuple[bytes, list[bytes]]],
) -> None:
    """Copying 2 MB for every piece would cost a hundred times as much."""

    def seconds(size: int) -> float:
        parser = FrameParser(8_000_000)
        head, tail = split(size)
        assert parser.feed(head) == []
        started = time.process_time()
        messages = [parser.feed(piece) for piece in tail]
        spent = time.process_time() - started
        assert not any(messages)
        return spent

    assert seconds(2_000_000) < 20 * seconds(2_000)
