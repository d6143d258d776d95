"""Signals that stop a serving process which drains first."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from server import _stop_on_signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def default_handlers(io_loop: IOLoop) -> Iterator[None]:
    """The handlers of a new program; those of pytest, perhaps under nohup, are put back."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        io_loop.asyncio_loop.remove_signal_handler(number)  # type: ignore[attr-defined]
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.gen_test(timeout=10)
async def test_a_stop_signal_is_left_to_the_serving_process(number: signal.Signals) -> None:
    stopping = asyncio.Event()
    _stop_on_signal(stopping)
    assert signal.getsignal(number) is not signal.SIG_DFL, "it would end the process"
    signal.raise_signal(number)
    await asyncio.wait_for(stopping.wait(), 10)


@pytest.mark.gen_test(timeout=10)
async def test_a_process_under_nohup_ignores_the_end_of_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _stop_on_signal(asyncio.Event())
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
