"""Deliveries of webhooks to real HTTP servers."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import NetworkTimeout as Timeout
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from structlog.testing import capture_logs

from rooms.events import NewEvent
from services.jobs.claimed_jobs import ClaimedJob
from services.webhooks.webhooks import (
    GIVE_UP,
    LEASE,
    LONGEST_RETRY_AFTER,
    OFF_AFTER,
    next_step,
    sign,
)
from storage.errors import TooManyWebhooks, WebhookNotFound
from storage.webhooks.deliveries import KEPT, Attempt, Delivery
from storage.webhooks.webhooks import LONGEST_WAIT, MAX_OLD_SECRETS, MAX_WEBHOOKS, ROTATION, Webhook
from tests.support.waiting import until
from tests.support.webhooks import Receiver, WebhookFixture

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SCHEDULE = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
MakeReceiver = Callable[[], Receiver]


async def write(webhooks: WebhookFixture, *numbers: int) -> None:
    """Write numbered events, each in a transaction of its own."""
    for n in numbers:
        event = NewEvent("user.banned", {"n": n})
        database = webhooks.stores.database
        await database.transaction(lambda tx, e=event: webhooks.stores.webhooks.add(tx, e))  # type: ignore[misc]


# ---- signatures


def test_the_signature_is_that_of_the_libraries() -> None:
    secret = "whsec_cWxpdmUtd2ViaG9vay10ZXN0LW9ubHktMzItYnl0ZXM="
    id_, timestamp = "msg_000000000000000000000001", 1_700_000_000
    body = b'{"type":"live.ended","timestamp":"2023-11-14T22:13:20Z","data":{"live_id":1}}'
    signature = sign(secret, id_, timestamp, body)
    assert signature == "v1,xtBHu1j45e1LCHV8LPegwt+WcezsIuiXjcSf53pVxxE="
    at = datetime.fromtimestamp(timestamp, UTC)
    assert signature == Verifier(secret).sign(id_, at, body.decode())


async def test_after_a_rotation_both_secrets_sign_for_a_day(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    before = await webhooks.add(receiver)
    after = await webhooks.stores.webhooks.rotate(before.id)
    await write(webhooks, 1)
    await webhooks.sweep()
    rotated_at = datetime.now(UTC) - ROTATION
    await webhooks.rows.update_one({}, {"$set": {"secrets.0.made_at": rotated_at}})
    await write(webhooks, 2)
    await webhooks.sweep()
    first, second = receiver.received
    first.verify(before.secret)
    for request in (first, second):
        request.verify(after.secret)
    with pytest.raises(WebhookVerificationError):
        second.verify(before.secret)
    stored = str(await webhooks.rows.find_one())
    assert before.secret not in stored
    assert after.secret not in stored


async def test_a_second_rotation_leaves_the_day_of_the_first_secret(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    first = await webhooks.add(receiver)
    rotated = [await webhooks.stores.webhooks.rotate(first.id) for _ in range(2)]
    await write(webhooks, 1)
    await webhooks.sweep()
    for webhook in (first, *rotated):
        receiver.received[0].verify(webhook.secret)
    for _ in range(9):
        last = await webhooks.stores.webhooks.rotate(first.id)
    assert len(last.secrets) == 1 + MAX_OLD_SECRETS


# ---- order


async def test_events_arrive_signed_and_in_their_order(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhook = await webhooks.add(receiver)
    await write(webhooks, *range(5))
    await webhooks.sweep()
    assert receiver.numbers == [*range(5)]
    for request in receiver.received:
        request.verify(webhook.secret)
        assert request.content.keys() == {"type", "timestamp", "data"}
        at = datetime.fromisoformat(request.content["timestamp"])
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert len({request.id for request in receiver.received}) == 5


async def test_an_event_that_fails_holds_those_behind_it_back_at_its_endpoint_alone(
    webhooks: WebhookFixture, make_receiver: MakeReceiver
) -> None:
    failing, dead, other = make_receiver(), make_receiver(), make_receiver()
    for receiver in (failing, dead, other):
        await webhooks.add(receiver)
    failing.fail(503, 301, 500, Retry_After="60")
    dead.silent = asyncio.Event()
    await write(webhooks, 1, 2, 3)
    job = webhooks.service.job
    await until(lambda: polled(job, len(other.received) == 3 and dead.received))
    dead.silent.set()
    await job.sweep()
    assert (failing.numbers, other.numbers) == ([1], [1, 2, 3])
    for _ in range(3):
        await webhooks.sweep()
    assert failing.numbers == [1, 1, 1, 1, 2, 3]
    assert len({request.id for request in failing.received}) == 3


async def polled(job: ClaimedJob[Webhook], done: object) -> bool:
    """Whether it is done, without waiting for the claims in progress."""
    await job.poll()
    return bool(done)


async def test_two_processes_do_not_send_to_one_endpoint_at_once(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    await webhooks.add(receiver)
    store = webhooks.stores.webhooks
    claimed = await store.claim(timedelta(minutes=1))
    assert claimed is not None
    assert await store.claim(timedelta(minutes=1)) is None
    await store.release(claimed, timedelta())
    assert await store.claim(timedelta(minutes=1)) is not None


# ---- attempts


def test_attempts_follow_the_schedule_until_three_days_after_the_first() -> None:
    webhook = Webhook("w", "https://hook", [], NOW)
    event, now = Delivery("msg_1", "w", "user.banned", NOW, {}), NOW
    # With the least jitter the nine delays are shorter than three days: another one fills them.
    for tries, seconds in enumerate([*SCHEDULE, SCHEDULE[-1]]):
        if tries == len(SCHEDULE) and now == NOW + GIVE_UP:
            break
        event = Delivery("msg_1", "w", "user.banned", NOW, {}, "waiting", tries, NOW)
        step = next_step(webhook, event, Attempt(now, 0.1, 500), now)
        expected = min(timedelta(seconds=seconds), NOW + GIVE_UP - now)
        assert step.state == "waiting"
        assert 0.899 * expected <= step.delay <= 1.101 * expected
        now += step.delay
    assert now == NOW + GIVE_UP
    last = next_step(webhook, event, Attempt(now, 0.1, 500), now)
    assert (last.state, last.delay) == ("given_up", timedelta())


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [(1.0, timedelta(seconds=5)), (600.0, timedelta(seconds=600)), (1e9, LONGEST_RETRY_AFTER)],
)
def test_a_longer_retry_after_is_respected_for_a_day_at_most(
    retry_after: float, expected: timedelta
) -> None:
    webhook, event = Webhook("w", "", [], NOW), Delivery("m", "w", "user.banned", NOW, {})
    step = next_step(webhook, event, Attempt(NOW, 0.1, 429, "", retry_after), NOW)
    assert 0.9 * expected <= step.delay <= 1.1 * expected


async def test_an_event_that_is_given_up_is_logged_counted_and_kept_and_the_next_one_goes_on(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    await webhooks.add(receiver)
    await write(webhooks, 1, 2)
    receiver.fail(500, 500)
    await webhooks.sweep()
    long_ago = datetime.now(UTC) - GIVE_UP
    await webhooks.events.update_one({"data.n": 1}, {"$set": {"first_try_at": long_ago}})
    with capture_logs() as logs:
        await webhooks.sweep()
    assert receiver.numbers == [1, 1, 2]
    [entry] = [entry for entry in logs if entry["event"] == "webhook_given_up"]
    assert (entry["log_level"], entry["status"]) == ("error", 500)
    assert "qlive_webhook_failures_total 1.0" in webhooks.metrics.text().decode()
    row = await webhooks.events.find_one({"data.n": 1})
    assert row["state"] == "given_up"
    assert abs(row["expires_at"] - datetime.now(UTC) - KEPT) < timedelta(minutes=1)
    assert [attempt["status"] for attempt in row["attempts"]] == [500, 500]


async def test_410_switches_off_and_what_waits_goes_out_in_order_once_it_is_on_again(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhook = await webhooks.add(receiver)
    receiver.fail(410)
    await write(webhooks, 1, 2)
    with capture_logs() as logs:
        await webhooks.sweep()
    assert [entry["event"] for entry in logs] == ["webhook_switched_off"]
    off = await webhooks.stores.webhooks.get(webhook.id)
    assert (off.enabled, off.off_reason) == (False, "gone")
    await write(webhooks, 3)  # is not stored
    await webhooks.sweep()
    assert receiver.numbers == [1]
    assert await waits(webhooks) == [KEPT, KEPT]
    on = await webhooks.service.change(webhook.id, enabled=True)
    assert (on.enabled, on.off_reason, on.failing_since) == (True, "", None)
    assert await waits(webhooks) == [LONGEST_WAIT, LONGEST_WAIT]
    await write(webhooks, 4)
    await webhooks.sweep()
    assert receiver.numbers == [1, 1, 2, 4]
    await webhooks.service.change(webhook.id, enabled=False)
    assert (await webhooks.stores.webhooks.get(webhook.id)).off_reason == "operator"


async def test_an_endpoint_is_switched_off_even_if_its_many_events_cannot_be_changed_in_time(
    webhooks: WebhookFixture, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await webhooks.add(receiver)
    monkeypatch.setattr(webhooks.stores.deliveries, "keep_waiting", AsyncMock(side_effect=Timeout))
    receiver.fail(410, 410)
    await write(webhooks, 1)
    await webhooks.sweep()
    off = await webhooks.stores.webhooks.get(webhook.id)
    assert (off.enabled, off.off_reason, receiver.numbers) == (False, "gone", [1])
    with pytest.raises(Timeout):
        await webhooks.service.change(webhook.id, enabled=True)
    assert (await webhooks.stores.webhooks.get(webhook.id)).enabled


async def waits(webhooks: WebhookFixture) -> list[timedelta]:
    """How long what waits is kept, in whole days."""
    rows = await webhooks.events.find({"state": "waiting"}).to_list()
    minute = timedelta(minutes=1)
    return [timedelta((row["expires_at"] - datetime.now(UTC) + minute).days) for row in rows]


async def test_an_endpoint_without_success_for_five_days_is_switched_off(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhook = await webhooks.add(receiver)
    receiver.fail(500, 500, 500)
    await write(webhooks, 1)
    await webhooks.sweep()
    since = (await webhooks.stores.webhooks.get(webhook.id)).failing_since
    assert since is not None
    await webhooks.sweep()
    assert (await webhooks.stores.webhooks.get(webhook.id)).failing_since == since
    await webhooks.rows.update_one({}, {"$set": {"failing_since": since - OFF_AFTER}})
    await webhooks.sweep()
    off = await webhooks.stores.webhooks.get(webhook.id)
    assert (off.enabled, off.off_reason) == (False, "failing")
    await webhooks.service.change(webhook.id, enabled=True)
    await webhooks.sweep()
    assert (receiver.numbers, await waits(webhooks)) == ([1, 1, 1, 1], [])


async def test_a_change_of_the_address_sends_at_once_what_waits(
    webhooks: WebhookFixture, make_receiver: MakeReceiver
) -> None:
    old, new = make_receiver(), make_receiver()
    webhook = await webhooks.add(old)
    old.fail(500)
    await write(webhooks, 1)
    await webhooks.sweep()
    await webhooks.service.change(webhook.id, url=new.url)
    await webhooks.service.job.sweep()
    assert (old.numbers, new.numbers) == ([1], [1])


async def test_an_answer_for_the_old_address_does_not_switch_the_new_one_off(
    webhooks: WebhookFixture, make_receiver: MakeReceiver
) -> None:
    old, new = make_receiver(), make_receiver()
    webhook = await webhooks.add(old)
    old.fail(410)
    new.fail(500)
    old.silent = asyncio.Event()
    await write(webhooks, 1)
    job = webhooks.service.job
    await until(lambda: polled(job, old.received))
    await webhooks.service.change(webhook.id, url=new.url, enabled=True)
    with capture_logs() as logs:
        old.silent.set()
        await job.sweep()
    assert (logs, await waits(webhooks)) == ([], [LONGEST_WAIT])
    await webhooks.sweep()
    assert (old.numbers, new.numbers) == ([1], [1, 1])


async def test_an_endpoint_that_is_on_again_gets_the_whole_schedule(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhook = await webhooks.add(receiver)
    receiver.fail(410, 500)
    await write(webhooks, 1)
    await webhooks.sweep()
    event = await webhooks.events.find_one()
    assert event is not None
    long_ago = datetime.now(UTC) - GIVE_UP
    await webhooks.events.update_one({}, {"$set": {"first_try_at": long_ago}})
    await webhooks.service.change(webhook.id, enabled=True)
    assert (await webhooks.service.send_again(webhook.id, event["_id"])).first_try_at is None
    await webhooks.service.job.sweep()
    [row] = await webhooks.events.find().to_list()
    assert (row["state"], row["tries"]) == ("waiting", 1)
    assert [attempt["status"] for attempt in row["attempts"]] == [410, 500]


async def test_an_event_is_sent_again_under_its_id_with_the_present_secret_behind_those_that_wait(
    webhooks: WebhookFixture, make_receiver: MakeReceiver
) -> None:
    receiver, other = make_receiver(), make_receiver()
    webhook, foreign = await webhooks.add(receiver), await webhooks.add(other)
    await write(webhooks, 1, 2)
    receiver.fail(204, 500)
    await webhooks.sweep()
    first, second = receiver.received
    rotated = await webhooks.stores.webhooks.rotate(webhook.id)
    for id_ in (first.id, first.id, second.id):  # a repetition changes nothing
        again = await webhooks.service.send_again(webhook.id, id_)
        assert (again.state, again.tries, again.first_try_at is None) == (
            *("waiting", int(id_ == second.id), id_ == first.id),
        )
    await webhooks.sweep()
    assert receiver.numbers == [1, 2, 2, 1]
    assert receiver.received[-1].id == first.id
    receiver.received[-1].verify(rotated.secret)
    again = await webhooks.stores.deliveries.get(first.id)
    assert (again.state, [a["status"] for a in again.attempts]) == ("delivered", [204, 204])
    with pytest.raises(WebhookNotFound):
        await webhooks.service.send_again(foreign.id, first.id)


async def test_sending_again_ends_a_delay_but_not_the_lease_of_an_attempt(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    webhook = await webhooks.add(receiver)
    await write(webhooks, 1)
    await webhooks.sweep()
    id_ = receiver.received[0].id
    for delay, is_due in ((LEASE, False), (2 * LEASE, True)):
        due_at = datetime.now(UTC) + delay
        await webhooks.rows.update_one({}, {"$set": {"due_at": due_at}})
        await webhooks.service.send_again(webhook.id, id_)
        row = await webhooks.rows.find_one()
        assert row is not None
        assert (row["due_at"] <= datetime.now(UTC)) == is_due
    await webhooks.service.change(webhook.id, enabled=False)
    await webhooks.events.update_one({}, {"$set": {"state": "delivered"}})
    await webhooks.service.send_again(webhook.id, id_)
    event = await webhooks.events.find_one()
    assert event is not None
    assert event["expires_at"] <= datetime.now(UTC) + KEPT, "nobody may ever switch it on"


async def test_an_endpoint_whose_secret_cannot_be_read_is_not_called(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    await webhooks.add(receiver)
    await webhooks.rows.update_one({}, {"$set": {"secrets.0.secret": b"of another key"}})
    await write(webhooks, 1)
    await webhooks.sweep()
    row: Any = await webhooks.events.find_one()
    assert (receiver.received, row["attempts"][0]["error"]) == ([], "secret_unreadable")


async def test_a_deleted_endpoint_leaves_nothing_and_the_number_of_endpoints_is_bounded(
    webhooks: WebhookFixture, receiver: Receiver
) -> None:
    created = [await webhooks.add(receiver) for _ in range(MAX_WEBHOOKS)]
    with pytest.raises(TooManyWebhooks):
        await webhooks.add(receiver)
    await write(webhooks, 1)
    for webhook in created:
        await webhooks.service.delete(webhook.id)
    with pytest.raises(WebhookNotFound):
        await webhooks.service.delete(created[0].id)
    await write(webhooks, 2)
    assert await webhooks.events.count_documents({}) == 0
