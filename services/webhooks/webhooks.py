"""Sends events to a company's own systems, as Standard Webhooks describe it.

Each endpoint receives its events one after the other, at least once: after a crash or a failure an
event is sent again under the same id, and those behind it wait.
"""

import base64
import hmac
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import structlog

from core.retry import WEBHOOKS
from realtime.bus import Bus, WebhooksChanged
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.webhooks.webhook_client import checked_url, post
from storage.errors import WebhookNotFound
from storage.stores import Stores
from storage.webhooks.deliveries import KEPT, Attempt, Delivery
from storage.webhooks.webhooks import LONGEST_WAIT, MAX_WEBHOOKS, DeliveryState, OffReason, Webhook
from telemetry.metrics import Metrics

log = structlog.get_logger("qlive.webhooks")

LEASE = timedelta(minutes=1)
"""Lease of an endpoint during an attempt, which takes at most a quarter of it."""
IDLE = timedelta(seconds=1)
"""How long an endpoint for which nothing waits is left alone."""
GIVE_UP = timedelta(days=3)
"""Since the first attempt for an event."""
OFF_AFTER = timedelta(days=5)
"""Since the first failure of an endpoint after its last success."""
LONGEST_RETRY_AFTER = timedelta(days=1)
JITTER = 0.1
GONE = 410


class Step(NamedTuple):
    """What follows from an attempt, for the event and for its endpoint."""

    state: DeliveryState
    delay: timedelta = timedelta()
    failing_since: datetime | None = None
    off_reason: OffReason = ""


class WebhookService:
    """Endpoints and their deliveries."""

    def __init__(self, stores: Stores, bus: Bus, metrics: Metrics, *, allows_local: bool) -> None:
        """`allows_local`: endpoints may be on this machine, and without TLS."""
        self._webhooks = stores.webhooks
        self._deliveries = stores.deliveries
        self._summaries = stores.summaries
        self._bus = bus
        self._metrics = metrics
        self._allows_local = allows_local
        self.job: ClaimedJob[Webhook] = ClaimedJob(
            "webhooks",
            one_by_one(partial(self._webhooks.claim, LEASE)),
            self._deliver,
            concurrency=MAX_WEBHOOKS,
        )
        bus.subscribe(lambda _changed: self._webhooks.forget(), WebhooksChanged)

    # ---- endpoints

    async def create(self, url: str, types: Sequence[str], *, enabled: bool) -> Webhook:
        """Add an endpoint. Raises InvalidParameter or TooManyWebhooks."""
        url = checked_url(url, allows_local=self._allows_local)
        webhook = await self._webhooks.create(url, types, enabled=enabled)
        self._bus.publish(WebhooksChanged())
        return webhook

    async def change(self, id_: str, **fields: Any) -> Webhook:
        """Set `url`, `types` or `enabled`. Raises InvalidParameter or WebhookNotFound.

        What waits for a disabled endpoint is kept for KEPT. Once it is enabled again, that is sent,
        with the schedule from its beginning.
        """
        if "url" in fields:
            fields["url"] = checked_url(fields["url"], allows_local=self._allows_local)
        if (enabled := fields.get("enabled")) is not None:
            fields |= {"off_reason": "" if enabled else "operator", "failing_since": None}
        webhook = await self._webhooks.change(id_, **fields)
        self._bus.publish(WebhooksChanged())
        if enabled is not None:
            longest = LONGEST_WAIT if enabled else KEPT
            await self._deliveries.keep_waiting(id_, longest, restart=enabled)
        return webhook

    async def delete(self, id_: str) -> None:
        """Delete an endpoint and its deliveries. Raises WebhookNotFound."""
        await self._webhooks.delete(id_)
        self._bus.publish(WebhooksChanged())
        await self._deliveries.delete_all(id_)

    async def send_again(self, id_: str, delivery_id: str) -> Delivery:
        """Queue an event again, under its id and behind those that wait; soon try the first one.

        It is tried at once, unless an attempt may be running. Raises WebhookNotFound.
        """
        event = await self._deliveries.get(delivery_id)
        if event.webhook_id != id_:
            raise WebhookNotFound
        webhook = await self._webhooks.get(id_)
        await self._deliveries.queue_again(event, LONGEST_WAIT if webhook.enabled else KEPT)
        await self._webhooks.end_delay(id_, LEASE)
        self.job.wake()
        return await self._deliveries.get(delivery_id)

    # ---- deliveries

    async def _deliver(self, webhook: Webhook) -> None:
        """Send the oldest event that waits for an endpoint."""
        event = await self._deliveries.next(webhook.id)
        if event is None:
            await self._webhooks.release(webhook, IDLE)
            return
        attempt = await self._send(webhook, event)
        step = next_step(webhook, event, attempt, datetime.now(UTC))
        schedule = {"first_try_at": event.first_try_at or attempt.at, "tries": event.tries + 1}
        is_stored = await self._deliveries.note(event, attempt, step.state, **schedule)
        is_on = {"enabled": not step.off_reason, "off_reason": step.off_reason}
        is_released = await self._webhooks.release(
            webhook, step.delay, failing_since=step.failing_since, **is_on
        )
        self.job.wake()
        self._metrics.webhook_attempts.labels("ok" if attempt.succeeded else "failed").inc()
        about = {"webhook": webhook.id, "event_id": event.id, "status": attempt.status}
        # The lease may have ended, or an operator may have changed the endpoint, meanwhile.
        if is_stored and step.state == "given_up":
            self._metrics.webhook_failures.inc()
            log.error("webhook_given_up", error=attempt.error, **about)
        if is_released and step.off_reason:
            self._metrics.webhook_failures.inc()
            log.error("webhook_switched_off", reason=step.off_reason, **about)
            self._bus.publish(WebhooksChanged())
            await self._deliveries.keep_waiting(webhook.id, KEPT)  # may take minutes, and fail

    async def _send(self, webhook: Webhook, event: Delivery) -> Attempt:
        """Sign and send an event; a `live.ended` first gets the counts of its report."""
        if event.type == "live.ended" and event.data and "dates" not in event.data:
            counts = await self._summaries.counts(event.data["epoch"])
            event = await self._deliveries.add_data(event, counts)
        at = datetime.now(UTC)
        if not webhook.secrets:
            return Attempt(at, 0.0, error="secret_unreadable")  # auth.encryption_key has changed
        body = json.dumps(
            {"type": event.type, "timestamp": event.at.isoformat(), "data": event.data},
            ensure_ascii=False,
        ).encode()
        timestamp = int(at.timestamp())
        signatures = [sign(secret, event.id, timestamp, body) for secret in webhook.secrets]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "qlive",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }
        return await post(webhook.url, headers, body, allows_local=self._allows_local)


def sign(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message; the secret is `whsec_` and the key in base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def next_step(webhook: Webhook, event: Delivery, attempt: Attempt, now: datetime) -> Step:
    """Decide what follows from an attempt.

    The last attempt is three days after the first, or when Retry-After allows it.
    """
    if attempt.succeeded:
        return Step("delivered")
    failing_since = webhook.failing_since or now
    if attempt.status == GONE:
        return Step("waiting", failing_since=failing_since, off_reason="gone")
    off_reason: OffReason = "failing" if now - failing_since >= OFF_AFTER else ""
    last = (event.first_try_at or attempt.at) + GIVE_UP
    if now >= last:
        return Step("given_up", failing_since=failing_since, off_reason=off_reason)
    delay = WEBHOOKS.after(event.tries + 1) * random.uniform(1 - JITTER, 1 + JITTER)
    retry_after = min(timedelta(seconds=attempt.retry_after), LONGEST_RETRY_AFTER)
    return Step("waiting", max(min(delay, last - now), retry_after), failing_since, off_reason)
