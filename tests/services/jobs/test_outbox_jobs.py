import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from services.jobs import outbox_jobs as module
from services.jobs.outbox_jobs import LEASE, MAX_TRIES, OutboxJob, OutboxLane, OutboxLanes
from storage.jobs.outbox import OutboxMessage
from tencent.errors import ImRejected, ServiceUnavailable
from tests.support.storage import StoresFixture
from tests.support.waiting import recorded_timeouts

START = datetime(2026, 1, 1, tzinfo=UTC)
Action = Callable[[dict[str, Any]], Awaitable[None]]


class OutboxFixture:
    """A job on an outbox in memory, which it stands in for; `calls` are those of the job."""

    def __init__(self, **actions: Action) -> None:
        self.now = START
        self.due: dict[str, datetime] = {}
        self.messages: dict[str, OutboxMessage] = {}
        self.calls: list[tuple[str, ...]] = []
        self.cannot_mark = False
        fake: Any = self
        self.job = OutboxJob(OutboxLane("outbox", fake), actions, now=lambda: self.now)

    def add(self, kind: str, tries: int = 0) -> None:
        self.messages[kind] = OutboxMessage(kind, kind, {"of": kind}, tries)
        self.due[kind] = self.now

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[OutboxMessage]:
        ready = [id_ for id_, due in self.due.items() if due <= now][:limit]
        for id_ in ready:
            self.due[id_] = until
            self.messages[id_] = replace(self.messages[id_], tries=self.messages[id_].tries + 1)
        return [self.messages[id_] for id_ in ready]

    async def mark_done(self, id_: str) -> None:
        if self.cannot_mark:
            raise ConnectionError("no primary")
        del self.due[id_]
        self.calls.append(("done", id_))

    async def reschedule(self, id_: str, at: datetime, reason: str) -> None:
        self.due[id_] = at
        self.calls.append(("reschedule", id_, reason))

    async def mark_failed(self, id_: str, reason: str) -> None:
        del self.due[id_]
        self.calls.append(("failed", id_, reason))


def failing(error: Exception) -> Action:
    async def fail(_payload: dict[str, Any]) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "tries", "outcome", "why", "logged"),
    [
        (ServiceUnavailable("im"), MAX_TRIES - 2, "reschedule", "ServiceUnavailable: im", []),
        (ServiceUnavailable("im"), MAX_TRIES - 1, "failed", "ServiceUnavailable: im", ["failed"]),
        (ImRejected(10004, "bad"), 0, "failed", "ImRejected: 10004 bad", ["failed"]),
        (KeyError("a secret"), 0, "reschedule", "KeyError", ["crashed"]),
        (
            ServerSelectionTimeoutError("no primary"),
            *(0, "reschedule", "ServerSelectionTimeoutError", []),
        ),
        (None, 0, "failed", "no action for kind", ["failed"]),
        (None, MAX_TRIES, "failed", "no action for kind", ["failed"]),
        (AssertionError, MAX_TRIES, "failed", "process died during every attempt", ["failed"]),
    ],
    ids=[
        *("outage", "outage at the last try", "refusal", "bug", "outage of the database"),
        *("unknown kind", "unknown kind at the end", "message that kills processes"),
    ],
)
async def test_a_failure_is_retried_or_final(
    error: Exception | None, tries: int, outcome: str, why: str, logged: list[str]
) -> None:
    fixture = OutboxFixture(**({"kind": failing(error)} if error else {}))
    fixture.add("kind", tries)
    with capture_logs() as logs:
        await fixture.job.sweep()
    ((call, _, stored),) = fixture.calls
    assert call == outcome
    if call == "reschedule":
        wait = (fixture.due["kind"] - fixture.now).total_seconds()
        assert 300 <= wait <= 600 if tries else 1 <= wait <= 1.5
    assert stored.startswith(why)
    assert "secret" not in stored
    assert [entry["event"].rpartition("_")[2] for entry in logs] == logged


async def test_a_hanging_delivery_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = recorded_timeouts(monkeypatch, module)

    async def hang(_payload: dict[str, Any]) -> None:
        limits[0].reschedule(0)
        await asyncio.Event().wait()

    fixture = OutboxFixture(kind=hang)
    fixture.add("kind")
    await fixture.job.sweep()
    ((call, _, why),) = fixture.calls
    assert (call, why[:12]) == ("reschedule", "TimeoutError")


async def test_a_message_that_was_not_marked_runs_again_after_its_lease() -> None:
    runs: list[dict[str, Any]] = []

    async def import_account(payload: dict[str, Any]) -> None:
        runs.append(payload)

    fixture = OutboxFixture(account=import_account)
    fixture.add("account")
    fixture.cannot_mark = True
    await fixture.job.sweep()
    fixture.cannot_mark = False
    await fixture.job.sweep()
    assert runs == [{"of": "account"}]
    fixture.now += LEASE
    await fixture.job.sweep()
    assert (len(runs), fixture.calls) == (2, [("done", "account")])


async def test_each_lane_has_messages_of_its_own_so_that_a_backlog_delays_no_other(
    stores: StoresFixture,
) -> None:
    lanes, now = OutboxLanes(stores.outbox), datetime.now(UTC)
    for kind in ("mute", "drop_stream", "mute_again"):
        for urgent in (False, True):
            await stores.outbox.add(kind, {}, urgent=urgent)
    await stores.outbox.add_later("delete_object", {}, timedelta())
    claimed = {
        lane.name: {
            message.kind for message in await lane.store.claim(now + LEASE, now + 2 * LEASE, 10)
        }
        for lane in vars(lanes).values()
    }
    assert claimed == {
        "im_safety_outbox": {"mute"},
        "live_streaming_safety_outbox": {"drop_stream"},
        "group_outbox": {"mute_again"},
        "im_outbox": {"mute", "mute_again"},
        "live_streaming_outbox": {"drop_stream"},
        "cos_outbox": {"delete_object"},
    }
    jobs = lanes.jobs({}, {}, {})
    assert {job.name for job in jobs} == claimed.keys()
