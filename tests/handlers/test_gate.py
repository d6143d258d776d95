import asyncio

import pytest

from handlers import caller
from handlers.gate import Gate
from rooms.refusals import TryAgain
from server import Server
from tests.phones import Street


@pytest.mark.gen_test(timeout=20)
async def test_so_many_go_through_side_by_side_and_the_next_when_one_is_through() -> None:
    gate, through, let_go = Gate(at_once=2), asyncio.Queue[int](), asyncio.Event()

    async def go(number: int) -> None:
        async with gate.turn():
            through.put_nowait(number)
            await let_go.wait()

    tasks = [asyncio.create_task(go(number)) for number in range(3)]
    assert [await through.get(), await through.get()] == [0, 1]
    assert through.empty()
    let_go.set()
    assert await through.get() == 2
    await asyncio.gather(*tasks)


@pytest.mark.gen_test(timeout=20)
async def test_nobody_waits_for_ever_and_whoever_gave_up_takes_no_turn() -> None:
    gate = Gate(at_once=1, patience=0.05)
    async with gate.turn():
        with pytest.raises(TryAgain):
            async with gate.turn():
                pytest.fail("it is taken")
    async with gate.turn():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_a_turn_that_fails_is_given_back() -> None:
    gate = Gate(at_once=1, patience=0.05)
    with pytest.raises(ZeroDivisionError):
        async with gate.turn():
            raise ZeroDivisionError
    async with gate.turn():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_a_socket_that_waited_its_turn_does_not_overtake_its_successor(
    street: Street, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone may have gone from one network into another, and nothing says so."""
    monkeypatch.setattr(caller, "LONG_WAIT_MS", 0)
    host = await street.host()
    guest = await street.guest("bert", 1, host.live_id)
    server.parts.gate = crowded = Gate(at_once=1)
    async with crowded.turn():
        first = await guest.connect()
        await waiting_at(crowded)
        server.parts.gate = Gate()
        second = await guest.connect()
        await second.next("snapshot")
    bye = await first.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4000, True)
    await second.send(type="ping", n=1)
    assert (await second.next("pong"))["n"] == 1


async def waiting_at(gate: Gate) -> None:
    while not gate._turns._waiters:
        await asyncio.sleep(0.001)
