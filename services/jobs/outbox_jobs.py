"""Delivers the messages of the outbox to Tencent, at least once each.

A crash, an expired lease or a database failure between delivery and its acknowledgement repeats a
delivery, so every action must be idempotent at the receiver.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog

from core.errors import QLiveError
from core.retry import OUTBOX
from services.jobs.claimed_jobs import ClaimedJob
from storage.errors import storage_error
from storage.jobs.outbox import (
    GROUP_KINDS,
    LATER,
    LIVE_STREAMING_KINDS,
    NORMAL,
    RENEW_STREAMS,
    URGENT,
    OutboxMessage,
    OutboxStore,
)
from tencent.errors import CommandRejected

Payload = dict[str, Any]
Actions = Mapping[str, Callable[[Payload], Awaitable[None]]]
"""Action by kind of message."""
log = structlog.get_logger("qlive.outbox")

CONCURRENCY = 4
MAX_TRIES = 20  # about two hours
DELIVERY_SECONDS = 60.0
LEASE = timedelta(seconds=2 * DELIVERY_SECONDS)  # outlives a delivery: no other process repeats it


class OutboxLane(NamedTuple):
    """Messages that are delivered in an order of their own, and that delay no others."""

    name: str
    store: OutboxStore
    idle: float = 1.0


class OutboxLanes:
    """The lanes of IM and of live streaming, urgent and normal, and of groups, streams, pictures.

    New streams for private lives have a lane of their own, since they wait for no service.
    """

    def __init__(self, outbox: OutboxStore) -> None:
        others = (*LIVE_STREAMING_KINDS, *GROUP_KINDS, RENEW_STREAMS)
        self.im_safety = OutboxLane("im_safety_outbox", outbox.view(URGENT, without=others))
        self.live_streaming_safety = OutboxLane(
            "live_streaming_safety_outbox", outbox.view(URGENT, only=LIVE_STREAMING_KINDS)
        )
        self.renewals = OutboxLane("renewal_outbox", outbox.view(URGENT, only=[RENEW_STREAMS]))
        self.groups = OutboxLane("group_outbox", outbox.view(URGENT, only=GROUP_KINDS))
        self.im = OutboxLane("im_outbox", outbox.view(NORMAL, without=LIVE_STREAMING_KINDS))
        self.live_streaming = OutboxLane(
            "live_streaming_outbox", outbox.view(NORMAL, only=LIVE_STREAMING_KINDS)
        )
        self.pictures = OutboxLane("cos_outbox", outbox.view(LATER), idle=10.0)

    def jobs(self, im: Actions, live_streaming: Actions, pictures: Actions) -> list["OutboxJob"]:
        """Return the jobs that run these actions, the most urgent first."""
        return [
            OutboxJob(self.im_safety, im),
            OutboxJob(self.live_streaming_safety, live_streaming),
            OutboxJob(self.renewals, im),
            OutboxJob(self.im, im),
            OutboxJob(self.live_streaming, live_streaming),
            OutboxJob(self.groups, im),
            OutboxJob(self.pictures, pictures),
        ]


class OutboxJob(ClaimedJob[OutboxMessage]):
    """Runs the action for the kind of each message of a lane."""

    def __init__(
        self,
        lane: OutboxLane,
        actions: Actions,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            lane.name,
            self._claim_due,
            self._deliver,
            concurrency=CONCURRENCY,
            idle=lane.idle,
            in_batches=True,
        )
        self._now = now
        self._store = lane.store
        self._actions = actions
        lane.store.on_urgent(self.wake)

    async def _claim_due(self, limit: int) -> list[OutboxMessage]:
        now = self._now()
        return await self._store.claim(now, now + LEASE, limit)

    async def _deliver(self, message: OutboxMessage) -> None:
        why, is_final = await self._failure_of(message)
        try:
            if not why:
                await self._store.mark_done(message.id)
            elif is_final or message.tries >= MAX_TRIES:
                log.error("outbox_message_failed", kind=message.kind, id=message.id, why=why)
                await self._store.mark_failed(message.id, why)
            else:
                at = self._now() + OUTBOX.after(message.tries)
                await self._store.reschedule(message.id, at, why)
        except Exception as error:  # noqa: BLE001 - any driver error; the job never dies
            self._note_store(error)  # the lease expires, and the message is delivered again

    async def _failure_of(self, message: OutboxMessage) -> tuple[str, bool]:
        """Run the action; return why it failed, and whether the failure is final.

        The reason is "" if it did not fail.
        """
        if message.kind not in self._actions:
            return f"no action for {message.kind}", True
        if message.tries > MAX_TRIES:
            # Delivering this message may be what kills the processes.
            return "process died during every attempt", True
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                await self._actions[message.kind](message.payload)
        except CommandRejected as error:  # not tried again
            return f"{type(error).__name__}: {error}", True
        except (QLiveError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}", False
        except Exception as error:
            if not storage_error(error):
                # A bug. Its text may contain secrets: the store gets the type only.
                log.exception("outbox_action_crashed", kind=message.kind, id=message.id)
            return type(error).__name__, False
        return "", False
