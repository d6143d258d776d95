import asyncio

import pytest

from core.clock import now_ms
from core.errors import TryAgain
from core.limits import ConcurrencyLimit
from handlers.websocket import connection
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.waiting import until


@pytest.mark.gen_test(timeout=20)
async def test_limited_number_of_tasks_run_and_the_next_starts_when_a_slot_is_free() -> None:
    limit, started, finish = ConcurrencyLimit(limit=2), asyncio.Queue[int](), asyncio.Event()

    async def occupy(number: int) -> None:
        async with limit.slot():
            started.put_nowait(number)
            await finish.wait()

    tasks = [asyncio.create_task(occupy(number)) for number in range(3)]
    assert [await started.get(), await started.get()] == [0, 1]
    assert started.empty()
    finish.set()
    assert await started.get() == 2
    await asyncio.gather(*tasks)


@pytest.mark.gen_test(timeout=20)
async def test_waiter_that_times_out_takes_no_slot() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    async with limit.slot():
        with pytest.raises(TryAgain):
            async with limit.slot():
                pytest.fail("the only slot is taken")
    async with limit.slot():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_slot_is_released_after_an_exception() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    with pytest.raises(ZeroDivisionError):
        async with limit.slot():
            raise ZeroDivisionError
    async with limit.slot():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_socket_that_waited_for_a_slot_does_not_replace_a_newer_one(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that changes networks reconnects before the server notices the loss."""
    monkeypatch.setattr(connection, "SUPERSEDE_CHECK_MS", 0)
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    server.context.join_limit = full_limit = ConcurrencyLimit(limit=1)
    async with full_limit.slot():
        older = await guest.connect()
        await until(lambda: full_limit._slots._waiters)
        server.context.join_limit = ConcurrencyLimit(limit=1)
        newer = await guest.connect()
        await newer.next("snapshot")
    bye = await older.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4000, True)
    await newer.send(type="ping", n=1)
    assert (await newer.next("pong"))["n"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_socket_that_waited_for_a_slot_is_not_restarted_by_a_clock_that_is_behind(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets are numbered by the database's clock, not by the server's."""
    monkeypatch.setattr(connection, "SUPERSEDE_CHECK_MS", 0)
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    await (await guest.connect()).next("snapshot")
    monkeypatch.setattr(connection, "now_ms", lambda: now_ms() - 60_000)
    server.context.join_limit = full_limit = ConcurrencyLimit(limit=1)
    async with full_limit.slot():
        socket = await guest.connect()
        await until(lambda: full_limit._slots._waiters)
    assert (await socket.frame())["type"] == "snapshot"
