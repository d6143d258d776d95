import asyncio
from asyncio import sleep as one_turn
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rooms.refusals import ServiceAway
from tencent import errands as module
from tencent.errands import AT_ONCE, LEASE, TRIES, Errands, back_off
from tencent.im import IMRefused

a_run = pytest.mark.gen_test(timeout=20)

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Errand:
    id: str
    kind: str
    payload: dict[str, Any]
    tries: int


class Memory:
    """The store in memory; `heard` tells the test what the runner did, in order."""

    def __init__(self) -> None:
        self.now = START
        self.due: dict[str, datetime] = {}
        self.errands: dict[str, Errand] = {}
        self.heard: asyncio.Queue[tuple] = asyncio.Queue()
        self.away = False
        self.found_nothing = asyncio.Event()
        self.claims = 0

    def add(self, kind: str, number: int = 0, tries: int = 0) -> None:
        self.errands[kind] = Errand(kind, kind, {"n": number}, tries)
        self.due[kind] = self.now

    async def claim(self, now: datetime, until: datetime) -> Errand | None:
        self.claims += 1
        await one_turn(0)  # as every real store does: a busy runner must not starve the test
        if self.away:
            self.heard.put_nowait(("away",))
            raise ConnectionError("no primary")
        ready = sorted((due, errand_id) for errand_id, due in self.due.items() if due <= now)
        if not ready:
            self.found_nothing.set()
            return None
        errand_id = ready[0][1]
        self.due[errand_id] = until
        errand = self.errands[errand_id]
        self.errands[errand_id] = replace(errand, tries=errand.tries + 1)
        return self.errands[errand_id]

    async def done(self, errand_id: str) -> None:
        if self.away:
            self.heard.put_nowait(("away",))
            raise ConnectionError("no primary")
        del self.due[errand_id]
        self.heard.put_nowait(("done", errand_id))

    async def again(self, errand_id: str, at: datetime, why: str) -> None:
        self.due[errand_id] = at
        self.heard.put_nowait(("again", errand_id, (at - self.now).total_seconds(), why))

    async def failed(self, errand_id: str, why: str) -> None:
        del self.due[errand_id]
        self.heard.put_nowait(("failed", errand_id, why))


@asynccontextmanager
async def running(store: Memory, does: dict, *, idle: float = 0.001):
    runner = Errands(store, does, now=lambda: store.now, idle=idle)
    task = asyncio.ensure_future(runner.run(asyncio.Event()))
    try:
        yield runner
        assert not task.done()
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def fine(_payload: dict) -> None:
    return


async def away(_payload: dict) -> None:
    raise ServiceAway("im")


async def refused(_payload: dict) -> None:
    raise IMRefused(10004, "bad parameter")


async def broken(_payload: dict) -> None:
    raise KeyError("a secret text")


@a_run
async def test_an_errand_is_done_with_its_payload():
    store, given_to = Memory(), []

    async def import_account(payload: dict) -> None:
        given_to.append(payload)

    store.add("import", 7)
    async with running(store, {"import": import_account, "other": broken}):
        assert await store.heard.get() == ("done", "import")
    assert given_to == [{"n": 7}]


@a_run
async def test_a_nudge_ends_the_wait():
    store = Memory()
    async with running(store, {"import": fine}, idle=3600) as runner:
        await store.found_nothing.wait()
        store.add("import")
        runner.nudge()
        assert await store.heard.get() == ("done", "import")


@a_run
async def test_a_nudge_counts_once():
    store = Memory()
    async with running(store, {}, idle=3600) as runner:
        await store.found_nothing.wait()
        runner.nudge()
        for _ in range(100):
            await one_turn(0)  # a runner that never rests would look again and again
        assert store.claims == 2


@a_run
async def test_nudges_during_an_outage_do_not_make_it_busy(monkeypatch):
    store = Memory()
    store.away = True

    async def wait(awaited: list[object], *, timeout: float, return_when: str) -> None:
        store.heard.put_nowait(("waits", len(awaited), timeout))
        await asyncio.sleep(0)

    monkeypatch.setattr(module.asyncio, "wait", wait)
    async with running(store, {}, idle=3600) as runner:
        runner.nudge()
        assert await store.heard.get() == ("away",)
        assert await store.heard.get() == ("waits", 1, 3600)  # for the stop only
        store.away = False
        while await store.heard.get() != ("waits", 2, 3600):
            pass


@a_run
async def test_without_a_nudge_it_looks_by_itself():
    store = Memory()
    async with running(store, {"import": fine}):
        await store.found_nothing.wait()
        store.add("import")
        assert await store.heard.get() == ("done", "import")


@a_run
async def test_a_few_run_side_by_side():
    store, both = Memory(), asyncio.Barrier(2)

    async def meet(_payload: dict) -> None:
        await both.wait()

    store.add("a")
    store.add("b")
    async with running(store, {"a": meet, "b": meet}):
        assert {await store.heard.get(), await store.heard.get()} == {("done", "a"), ("done", "b")}


@a_run
async def test_many_do_not_wait_for_the_next_look():
    store, kinds = Memory(), [str(number) for number in range(3 * AT_ONCE)]
    for kind in kinds:
        store.add(kind)
    async with running(store, dict.fromkeys(kinds, fine), idle=3600):
        heard = [await store.heard.get() for _ in kinds]
    assert sorted(heard) == sorted(("done", kind) for kind in kinds)


@a_run
async def test_what_is_away_is_tried_again_later_and_later():
    store, answers = Memory(), iter([away, away, away, fine])

    async def import_account(payload: dict) -> None:
        await next(answers)(payload)

    store.add("import")
    waits = []
    async with running(store, {"import": import_account}):
        for _ in range(3):
            word, _, wait, why = await store.heard.get()
            assert word == "again"
            assert why.startswith("ServiceAway: im")
            waits.append(wait)
            store.now += timedelta(seconds=wait)
        assert await store.heard.get() == ("done", "import")
    assert 1 <= waits[0] <= 1.5
    assert 1 <= waits[1] <= 3
    assert 2 <= waits[2] <= 6


@a_run
async def test_it_is_not_tried_again_before_its_time():
    store = Memory()
    store.add("late")
    async with running(store, {"late": away, "soon": fine}):
        assert (await store.heard.get())[:2] == ("again", "late")
        store.add("soon")
        assert await store.heard.get() == ("done", "soon")
        assert store.errands["late"].tries == 1


@a_run
async def test_after_the_last_try_it_has_failed():
    store = Memory()
    store.add("import", tries=TRIES - 2)
    async with running(store, {"import": away}):
        word, _, wait, _ = await store.heard.get()
        assert word == "again"
        store.now += timedelta(seconds=wait)
        word, errand_id, why = await store.heard.get()
    assert (word, errand_id) == ("failed", "import")
    assert why.startswith("ServiceAway")


@a_run
async def test_what_will_never_pass_fails_at_once_with_a_logged_reason():
    store = Memory()
    store.add("import")
    with capture_logs() as logs:
        async with running(store, {"import": refused}):
            assert await store.heard.get() == (
                "failed",
                "import",
                "IMRefused: 10004 bad parameter",
            )
    assert [entry["why"] for entry in logs] == ["IMRefused: 10004 bad parameter"]


@a_run
async def test_a_kind_that_nobody_does_fails():
    store = Memory()
    store.add("unheard")
    async with running(store, {}):
        assert await store.heard.get() == ("failed", "unheard", "nobody does unheard")


@a_run
async def test_a_bug_is_tried_again_and_its_text_stays_out_of_the_store():
    store = Memory()
    store.add("import")
    store.add("fine")
    async with running(store, {"import": broken, "fine": fine}):
        heard = [await store.heard.get(), await store.heard.get()]
    assert ("done", "fine") in heard
    again = next(word for word in heard if word[0] == "again")
    assert again[3] == "KeyError"


@a_run
async def test_an_errand_that_hangs_is_let_go(monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 0.01)
    store = Memory()

    async def hang(_payload: dict) -> None:
        await asyncio.Event().wait()

    store.add("import")
    async with running(store, {"import": hang}):
        word, _, _, why = await store.heard.get()
    assert word == "again"
    assert why.startswith("TimeoutError")


@a_run
async def test_one_that_ended_its_processes_is_not_run_for_ever():
    store, runs = Memory(), []

    async def import_account(payload: dict) -> None:
        runs.append(payload)

    store.add("import", tries=TRIES)
    async with running(store, {"import": import_account}):
        assert await store.heard.get() == ("failed", "import", "never came back")
    assert runs == []


@a_run
async def test_an_outage_of_the_store_is_survived_and_logged_once():
    store = Memory()
    store.away = True
    store.add("import")
    with capture_logs() as logs:
        async with running(store, {"import": fine}):
            for _ in range(3):
                assert await store.heard.get() == ("away",)
            store.away = False
            while (heard := await store.heard.get()) == ("away",):
                pass
            assert heard == ("done", "import")
    assert [entry["event"] for entry in logs] == [
        "errands_cannot_reach_their_store",
        "errands_reach_their_store_again",
    ]


@a_run
async def test_an_errand_that_could_not_be_marked_runs_again_after_its_lease():
    store, runs = Memory(), []

    async def import_account(payload: dict) -> None:
        runs.append(payload)
        store.away = len(runs) == 1

    store.add("import")
    async with running(store, {"import": import_account}):
        assert await store.heard.get() == ("away",)
        store.away = False
        assert store.due["import"] == START + LEASE
        store.now += LEASE
        while (heard := await store.heard.get()) == ("away",):
            pass
        assert heard == ("done", "import")
    assert len(runs) == 2


@given(st.integers(1, 10_000))
def test_a_wait_is_between_a_second_and_ten_minutes(tries):
    assert 1 <= back_off(tries) <= 600


def test_waits_differ_so_that_a_crowd_does_not_return_at_once():
    assert len({back_off(6) for _ in range(10)}) > 1
