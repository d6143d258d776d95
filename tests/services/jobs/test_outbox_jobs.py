import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from core.retry import backoff
from services.jobs import outbox_jobs
from services.jobs.claimed_jobs import JobRunner
from services.jobs.outbox_jobs import (
    CONCURRENCY,
    LEASE,
    LONGEST_BACKOFF,
    MAX_TRIES,
    OutboxJob,
)
from storage.jobs.outbox import OutboxMessage
from tencent.errors import ImRejected, ServiceUnavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryOutboxStore:
    """An in-memory outbox; `calls` are those of the worker, in order."""

    def __init__(self) -> None:
        self.now = START
        self.due: dict[str, datetime] = {}
        self.messages: dict[str, OutboxMessage] = {}
        self.calls: asyncio.Queue[tuple] = asyncio.Queue()
        self.is_down = False
        self.found_none_due = asyncio.Event()
        self.claims = 0

    def add(self, kind: str, number: int = 0, tries: int = 0) -> None:
        self.messages[kind] = OutboxMessage(kind, kind, {"n": number}, tries)
        self.due[kind] = self.now

    async def claim(self, now: datetime, until: datetime, _limit: int) -> list[OutboxMessage]:
        self.claims += 1
        await asyncio.sleep(0)  # as a real store does; a busy worker must not starve the test
        if self.is_down:
            self.calls.put_nowait(("unavailable",))
            raise ConnectionError("no primary")
        ready = sorted((due, message_id) for message_id, due in self.due.items() if due <= now)
        if not ready:
            self.found_none_due.set()
            return []
        message_id = ready[0][1]
        self.due[message_id] = until
        message = self.messages[message_id]
        self.messages[message_id] = replace(message, tries=message.tries + 1)
        return [self.messages[message_id]]

    async def mark_done(self, message_id: str) -> None:
        if self.is_down:
            self.calls.put_nowait(("unavailable",))
            raise ConnectionError("no primary")
        del self.due[message_id]
        self.calls.put_nowait(("done", message_id))

    async def reschedule(self, message_id: str, at: datetime, reason: str) -> None:
        self.due[message_id] = at
        self.calls.put_nowait(("reschedule", message_id, (at - self.now).total_seconds(), reason))

    async def mark_failed(self, message_id: str, reason: str) -> None:
        del self.due[message_id]
        self.calls.put_nowait(("failed", message_id, reason))


@asynccontextmanager
async def running(
    store: MemoryOutboxStore,
    actions: dict,
    *,
    idle: float = 0.001,
):
    job = OutboxJob("outbox", store, actions, now=lambda: store.now, idle=idle)
    task = asyncio.ensure_future(JobRunner(job).run(asyncio.Event()))
    try:
        yield job
        assert not task.done()
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def succeed(_payload: dict) -> None:
    return


async def fail_temporarily(_payload: dict) -> None:
    raise ServiceUnavailable("im")


async def fail_permanently(_payload: dict) -> None:
    raise ImRejected(10004, "bad parameter")


async def crash(_payload: dict) -> None:
    raise KeyError("a secret text")


async def test_the_action_receives_the_payload():
    store, payloads = MemoryOutboxStore(), []

    async def import_account(payload: dict) -> None:
        payloads.append(payload)

    store.add("import", 7)
    async with running(store, {"import": import_account, "other": crash}):
        assert await store.calls.get() == ("done", "import")
    assert payloads == [{"n": 7}]


async def test_a_nudge_ends_the_wait_for_the_next_claim():
    store = MemoryOutboxStore()
    async with running(store, {"import": succeed}, idle=3600) as job:
        await store.found_none_due.wait()
        store.add("import")
        job.nudge()
        assert await store.calls.get() == ("done", "import")


async def test_a_nudge_causes_one_claim():
    store = MemoryOutboxStore()
    async with running(store, {}, idle=3600) as job:
        await store.found_none_due.wait()
        job.nudge()
        for _ in range(100):
            await asyncio.sleep(0)  # a worker that never rests would claim again
        assert store.claims == 2


async def test_nudges_during_an_outage_do_not_cause_a_busy_loop():
    store = MemoryOutboxStore()
    store.is_down = True
    async with running(store, {}, idle=3600) as job:
        assert await store.calls.get() == ("unavailable",)
        for _ in range(100):
            job.nudge()
            await asyncio.sleep(0)
        assert store.claims == 1


async def test_messages_are_found_without_a_nudge():
    store = MemoryOutboxStore()
    async with running(store, {"import": succeed}):
        await store.found_none_due.wait()
        store.add("import")
        assert await store.calls.get() == ("done", "import")


async def test_several_messages_are_delivered_concurrently():
    store, both = MemoryOutboxStore(), asyncio.Barrier(2)

    async def meet(_payload: dict) -> None:
        await both.wait()

    store.add("a")
    store.add("b")
    async with running(store, {"a": meet, "b": meet}):
        assert {await store.calls.get(), await store.calls.get()} == {("done", "a"), ("done", "b")}


async def test_a_backlog_is_delivered_without_waiting():
    store, kinds = MemoryOutboxStore(), [str(number) for number in range(3 * CONCURRENCY)]
    for kind in kinds:
        store.add(kind)
    async with running(store, dict.fromkeys(kinds, succeed), idle=3600):
        calls = [await store.calls.get() for _ in kinds]
    assert sorted(calls) == sorted(("done", kind) for kind in kinds)


async def test_a_failed_delivery_is_retried_with_growing_delays():
    store, outcomes = MemoryOutboxStore(), iter([fail_temporarily] * 3 + [succeed])

    async def import_account(payload: dict) -> None:
        await next(outcomes)(payload)

    store.add("import")
    waits = []
    async with running(store, {"import": import_account}):
        for _ in range(3):
            call, _, wait, reason = await store.calls.get()
            assert call == "reschedule"
            assert reason.startswith("ServiceUnavailable: im")
            waits.append(wait)
            store.now += timedelta(seconds=wait)
        assert await store.calls.get() == ("done", "import")
    assert 1 <= waits[0] <= 1.5
    assert 1 <= waits[1] <= 3
    assert 2 <= waits[2] <= 6


async def test_a_message_is_not_retried_before_it_is_due():
    store = MemoryOutboxStore()
    store.add("late")
    async with running(store, {"late": fail_temporarily, "soon": succeed}):
        assert (await store.calls.get())[:2] == ("reschedule", "late")
        store.add("soon")
        assert await store.calls.get() == ("done", "soon")
        assert store.messages["late"].tries == 1


async def test_a_message_fails_after_the_last_try():
    store = MemoryOutboxStore()
    store.add("import", tries=MAX_TRIES - 2)
    async with running(store, {"import": fail_temporarily}):
        call, _, wait, _ = await store.calls.get()
        assert call == "reschedule"
        store.now += timedelta(seconds=wait)
        call, message_id, reason = await store.calls.get()
    assert (call, message_id) == ("failed", "import")
    assert reason.startswith("ServiceUnavailable")


async def test_a_permanent_error_fails_at_once_and_is_logged():
    store = MemoryOutboxStore()
    store.add("import")
    with capture_logs() as logs:
        async with running(store, {"import": fail_permanently}):
            assert await store.calls.get() == (
                "failed",
                "import",
                "ImRejected: 10004 bad parameter",
            )
    assert [entry["why"] for entry in logs] == ["ImRejected: 10004 bad parameter"]


async def test_a_message_of_unknown_kind_fails():
    store = MemoryOutboxStore()
    store.add("unknown")
    async with running(store, {}):
        assert await store.calls.get() == ("failed", "unknown", "no action for unknown")


async def test_a_crash_is_retried_and_its_text_is_not_stored():
    store = MemoryOutboxStore()
    store.add("import")
    store.add("fine")
    async with running(store, {"import": crash, "fine": succeed}):
        calls = [await store.calls.get(), await store.calls.get()]
    assert ("done", "fine") in calls
    again = next(call for call in calls if call[0] == "reschedule")
    assert again[3] == "KeyError"


async def test_an_outage_of_the_database_during_an_action_is_not_logged_as_a_crash():
    async def read_a_user(_payload: dict) -> None:
        raise ServerSelectionTimeoutError("no primary")

    store = MemoryOutboxStore()
    store.add("import")
    with capture_logs() as logs:
        async with running(store, {"import": read_a_user}):
            call, _, _, reason = await store.calls.get()
    assert (call, reason) == ("reschedule", "ServerSelectionTimeoutError")
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_a_hanging_delivery_times_out(monkeypatch):
    monkeypatch.setattr(outbox_jobs, "DELIVERY_SECONDS", 0.01)
    store = MemoryOutboxStore()

    async def hang(_payload: dict) -> None:
        await asyncio.Event().wait()

    store.add("import")
    async with running(store, {"import": hang}):
        call, _, _, reason = await store.calls.get()
    assert call == "reschedule"
    assert reason.startswith("TimeoutError")


async def test_a_message_that_kills_its_workers_fails_in_the_end():
    store, runs = MemoryOutboxStore(), []

    async def import_account(payload: dict) -> None:
        runs.append(payload)

    store.add("import", tries=MAX_TRIES)
    async with running(store, {"import": import_account}):
        assert await store.calls.get() == ("failed", "import", "process died during every attempt")
    assert runs == []


async def test_an_outage_of_the_store_is_survived_and_logged_once():
    store = MemoryOutboxStore()
    store.is_down = True
    store.add("import")
    with capture_logs() as logs:
        async with running(store, {"import": succeed}):
            for _ in range(3):
                assert await store.calls.get() == ("unavailable",)
            store.is_down = False
            while (call := await store.calls.get()) == ("unavailable",):
                pass
            assert call == ("done", "import")
    assert [entry["event"] for entry in logs] == [
        "job_store_down",
        "job_store_back",
    ]


async def test_a_message_that_was_not_marked_runs_again_after_its_lease():
    store, runs = MemoryOutboxStore(), []

    async def import_account(payload: dict) -> None:
        runs.append(payload)
        store.is_down = len(runs) == 1

    store.add("import")
    async with running(store, {"import": import_account}):
        assert await store.calls.get() == ("unavailable",)
        store.is_down = False
        assert store.due["import"] == START + LEASE
        store.now += LEASE
        while (call := await store.calls.get()) == ("unavailable",):
            pass
        assert call == ("done", "import")
    assert len(runs) == 2


@given(st.integers(1, 10_000))
def test_the_backoff_is_between_a_second_and_ten_minutes(tries):
    assert 1 <= backoff(tries, LONGEST_BACKOFF) <= 600


def test_the_backoff_has_jitter():
    assert len({backoff(6, LONGEST_BACKOFF) for _ in range(10)}) > 1
