import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from services.jobs import outbox_jobs as module
from services.jobs.outbox_jobs import LEASE, MAX_TRIES, OutboxJob, OutboxLane, OutboxLanes
from storage.jobs.outbox import NORMAL
from tencent.errors import ImRejected, ServiceUnavailable
from tests.support.races import run_before
from tests.support.storage import StoresFixture
from tests.support.waiting import recorded_timeouts

Action = Callable[[dict[str, Any]], Awaitable[None]]


class OutboxFixture:
    """A job on a lane with one message."""

    def __init__(self, stores: StoresFixture, action: Action | None = None) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
        self.store = stores.outbox.view(NORMAL)
        self.rows = stores.database.collection("outbox")
        actions = {"kind": action} if action else {}
        self.job = OutboxJob(OutboxLane("outbox", self.store), actions, now=lambda: self.now)

    async def deliver(self, tries: int = 0) -> dict[str, Any]:
        """Add a message after some tries; return it as it is stored after the next one."""
        await self.store.add("kind", {"of": "kind"})
        await self.rows.update_one({}, {"$set": {"tries": tries}})
        await self.job.sweep()
        return await self.rows.find_one() or {}


@pytest.mark.parametrize(
    ("error", "tries", "state", "why", "logged"),
    [
        (ServiceUnavailable("im"), MAX_TRIES - 2, NORMAL, "ServiceUnavailable: im", []),
        (ServiceUnavailable("im"), MAX_TRIES - 1, "failed", "ServiceUnavailable: im", ["failed"]),
        (ImRejected(10004, "bad"), 0, "failed", "ImRejected: 10004 bad", ["failed"]),
        (KeyError("a secret"), 0, NORMAL, "KeyError", ["crashed"]),
        (
            ServerSelectionTimeoutError("no primary"),
            *(0, NORMAL, "ServerSelectionTimeoutError", []),
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
    stores: StoresFixture,
    error: Exception | None,
    tries: int,
    state: str,
    why: str,
    logged: list[str],
) -> None:
    fixture = OutboxFixture(stores, AsyncMock(side_effect=error) if error else None)
    with capture_logs() as logs:
        row = await fixture.deliver(tries)
    assert row["state"] == state
    if state == NORMAL:
        wait = (row["due_at"] - fixture.now).total_seconds()
        assert 300 <= wait <= 600 if tries else 1 <= wait <= 1.5
    assert row["why"].startswith(why)
    assert "secret" not in row["why"]
    assert [entry["event"].rpartition("_")[2] for entry in logs] == logged


async def test_a_hanging_delivery_times_out(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = recorded_timeouts(monkeypatch, module)

    async def hang(_payload: dict[str, Any]) -> None:
        limits[0].reschedule(0)
        await asyncio.Event().wait()

    row = await OutboxFixture(stores, hang).deliver()
    assert (row["state"], row["why"][:12]) == (NORMAL, "TimeoutError")


async def test_a_message_that_was_not_marked_runs_again_after_its_lease(
    stores: StoresFixture,
) -> None:
    action = AsyncMock()
    fixture = OutboxFixture(stores, action)
    run_before(fixture.store, "mark_done", AsyncMock(side_effect=ConnectionError("no primary")))
    assert await fixture.deliver()
    await fixture.job.sweep()
    action.assert_awaited_once_with({"of": "kind"})
    fixture.now += LEASE
    await fixture.job.sweep()
    assert action.await_count == 2
    assert await fixture.rows.find_one() is None


async def test_each_lane_has_messages_of_its_own_so_that_a_backlog_delays_no_other(
    stores: StoresFixture,
) -> None:
    lanes, now = OutboxLanes(stores.outbox), datetime.now(UTC)
    await stores.outbox.add("renew_streams", {}, urgent=True)
    for kind in ("mute", "drop_stream", "mute_again", "renew_group"):
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
        "im_safety_outbox": {"mute", "renew_group"},
        "live_streaming_safety_outbox": {"drop_stream"},
        "renewal_outbox": {"renew_streams"},
        "group_outbox": {"mute_again"},
        "im_outbox": {"mute", "mute_again", "renew_group"},
        "live_streaming_outbox": {"drop_stream"},
        "cos_outbox": {"delete_object"},
    }
    jobs = lanes.jobs({}, {}, {})
    assert {job.name for job in jobs} == claimed.keys()


async def test_an_urgent_message_wakes_the_job_of_its_lane_alone(stores: StoresFixture) -> None:
    woken: list[str] = []
    for job in OutboxLanes(stores.outbox).jobs({}, {}, {}):
        job.poll_at, job.on_wake = math.inf, partial(woken.append, job.name)
    lanes = {"mute": "im_safety", "drop_stream": "live_streaming_safety", "mute_again": "group"}
    lanes["renew_streams"] = "renewal"
    for kind in lanes:
        await stores.outbox.add(kind, {})
        await stores.outbox.add(kind, {}, urgent=True)
    assert woken == [f"{lane}_outbox" for lane in lanes.values()]
