"""The IM relay when IM, a process or the database fails."""

import asyncio
import json
from datetime import timedelta

from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from services.chat.im_relay import EXPECTED_SECONDS, GROUP_RETRY_SECONDS, LEASE, REPEAT_SECONDS
from services.jobs.claimed_jobs import JobRunner
from storage.chat import RelayCursorStore
from tencent.errors import ImRejected
from tests.support.im_relay import GUEST, RelayFixture, face, guest_payload
from tests.support.waiting import until


async def cancel(task: asyncio.Task) -> None:
    """Cancel until it is done: PyMongo may turn a cancellation into an error."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=5)


# ---- failures of IM


async def test_an_im_outage_delays_messages_and_keeps_their_order(relays: RelayFixture) -> None:
    relays.simulator.outage["im"] = 503
    waits = []
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_event(1, "micro_accept", guest_payload(GUEST)))
        for tries in range(1, 4):
            await relays.until_postponed(tries)
            row = await relays.cursors.find_one({"_id": 1})
            waits.append((row["claimed_until"] - relays.now()).total_seconds())
            relay.publish(1, relays.rooms.add_gifts(1, 1))
            relays.clock.now += waits[-1] + 0.001
        await relays.until_postponed(4)
        relay.publish(1, relays.rooms.add_event(1, "live_end"))
        assert relays.texts == []
        del relays.simulator.outage["im"]
        relays.clock.now += 60
        await relays.until_idle(relay)
    assert relays.types == ["reset", *["gift"] * 3, "over"]
    for wait, longest in zip(waits, (1.5, 3, 6), strict=True):
        assert longest / 3 - 0.01 <= wait <= longest


async def test_a_rejected_message_is_skipped_and_logged(relays: RelayFixture) -> None:
    send_group_msg = relays.im.send_group_msg

    async def reject_gifts(group_id: str, text: str, *message) -> None:
        if '"gift"' in text:
            raise ImRejected(80001, "dirty words")
        await send_group_msg(group_id, text, *message)

    relays.im.send_group_msg = reject_gifts
    with capture_logs() as logs:
        async with relays.running() as relay:
            relay.publish(1, relays.rooms.add_gifts(1, 1))
            relay.publish(1, relays.rooms.add_event(1, "live_end"))
            await relays.until_idle(relay)
    assert relays.types == ["over"]
    refused = [entry for entry in logs if entry["event"] == "relay_message_rejected"]
    assert [(entry["kind"], entry["error_code"]) for entry in refused] == [("gift", 80001)]
    assert await relays.ordered_replacements() == []


async def test_messages_wait_for_the_replacement_of_a_dissolved_group(relays: RelayFixture) -> None:
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
        await relays.cursors.update_one({"_id": 1}, {"$set": {"tries": 50}})  # an outage of IM
        relays.dissolve_group(1)
        relay.publish(1, relays.rooms.add_gifts(1, 2))
        await relays.until_postponed(51)
        assert await relays.ordered_replacements() == [(1, "qlive1")]
        relay.publish(1, relays.replace_group(1, "qlive_new"))
        relay.publish(1, relays.rooms.add_event(1, "live_end"))
        relays.clock.now += GROUP_RETRY_SECONDS
        await relays.until_idle(relay)
    sent = [(m["group"], json.loads(m["text"])["type"]) for m in relays.messages]
    assert sent == [("qlive1", "gift"), *[("qlive_new", "gift")] * 2, ("qlive_new", "over")]
    row = await relays.cursors.find_one({"_id": 1})
    assert (row["seq"], row["over"]) == (5, True)


async def test_a_replacement_is_ordered_once_a_minute_and_messages_to_users_go_on(
    relays: RelayFixture,
) -> None:
    relays.dissolve_group(1)
    soon = int(relays.clock() * 1000) + 600_000
    invitation = {**face(GUEST), "expires_at": soon}
    with capture_logs() as logs:
        async with relays.running() as relay:
            relay.publish(1, relays.rooms.add_gifts(1, 1))
            relay.publish(1, relays.rooms.add_event(1, "micro_invite", invitation))
            await relays.until_postponed()
            relays.clock.now += EXPECTED_SECONDS
            await relays.until_idle(relay)
            await relays.orders.update_many({}, {"$set": {"state": "failed"}})
            relay.publish(1, relays.rooms.add_gifts(1, 1))
            await relays.until_idle(relay)
            assert len(await relays.ordered_replacements()) == 1
            relays.clock.now += REPEAT_SECONDS
            relay.publish(1, relays.rooms.add_gifts(1, 1))
            await relays.until_postponed()
    assert await relays.ordered_replacements() == [(1, "qlive1")] * 2
    assert relays.types == ["invite"]
    refused = [entry for entry in logs if entry["event"] == "relay_message_rejected"]
    assert [(entry["kind"], entry["error_code"]) for entry in refused] == [("gift", 10010)] * 2


async def test_a_crash_in_one_room_is_logged_and_retried(relays: RelayFixture) -> None:
    with capture_logs() as logs:
        async with relays.running() as relay:
            relay.publish(1, relays.rooms.add_event(1, "gift", {"nothing": "of a gift"}))
            await relays.until_postponed()
            relay.publish(2, relays.rooms.add_gifts(2, 1))
            await relays.until_sent(1)
    assert [e["live_id"] for e in logs if e["event"] == "relay_crashed"] == [1]


# ---- processes, crashes and database outages


async def test_another_process_continues_after_a_crash(relays: RelayFixture) -> None:
    sent = asyncio.Event()
    advance = relays.store.advance

    async def hang_before_the_third(claim, position, until) -> None:
        if position.seq == 3:
            sent.set()
            await asyncio.Event().wait()
        await advance(claim, position, until)

    async def fail(*_args) -> None:
        raise ConnectionError("killed")

    dying = RelayCursorStore(relays.database)
    dying.advance, dying.postpone = hang_before_the_third, fail
    relay = relays.relay(store=dying)
    relay.publish(1, relays.rooms.add_gifts(1, 5))
    killed = asyncio.ensure_future(JobRunner(relay).run(asyncio.Event()))
    await sent.wait()
    await cancel(killed)
    assert len(relays.texts) == 3
    requests = len(relays.simulator.log)
    async with relays.running() as survivor:
        relays.clock.now += LEASE.total_seconds()
        await relays.until_idle(survivor)
    assert [text["content"]["gift_id"] for text in relays.texts] == [1, 2, 3, 4, 5]
    assert len(relays.simulator.log) - requests == 3  # the third is sent again


async def test_a_relay_stops_when_its_claim_is_lost(relays: RelayFixture) -> None:
    lost = asyncio.Event()
    send_group_msg = relays.im.send_group_msg

    async def send(*message) -> None:
        await send_group_msg(*message)
        if not lost.is_set():
            lost.set()
            later = relays.now() + LEASE  # another process, as soon as the lease has ended
            await relays.store.claim(later, later + timedelta(hours=1), 1)

    relays.im.send_group_msg = send
    with capture_logs() as logs:
        async with relays.running() as relay:
            relay.publish(1, relays.rooms.add_gifts(1, 5))
            await until(lambda: any(entry["event"] == "relay_claim_lost" for entry in logs))
    assert len(relays.texts) == 1


async def test_wakes_survive_a_database_outage(relays: RelayFixture) -> None:
    class FlakyCursorStore(RelayCursorStore):
        is_down = True
        failures = 0

        async def mark_due(self, wakes, now):
            if self.is_down:
                self.failures += 1
                raise ServerSelectionTimeoutError("no primary")
            await super().mark_due(wakes, now)

        async def claim(self, now, until, limit):
            if self.is_down:
                raise ServerSelectionTimeoutError("no primary")
            return await super().claim(now, until, limit)

    store = FlakyCursorStore(relays.database)
    async with relays.running(store=store) as relay:
        relay.publish(1, relays.rooms.add_event(1, "micro_apply"))
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        relay.mark_audience_changed(2)
        relays.rooms.open(2, "e1")
        await until(lambda: store.failures >= 6)
        await until(lambda: relay.waiting == 2)  # more while a wake is retried
        store.is_down = False
        await relays.until_idle(relay)
    assert sorted(relays.types) == ["gift", "num", "num"]


async def test_a_stop_finishes_rooms_and_stores_pending_wakes(relays: RelayFixture) -> None:
    async with relays.running(idle=3600) as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 3))
        await relays.until_sent(1)
        relay.publish(2, relays.rooms.add_gifts(2, 1))
    row = await relays.cursors.find_one({"_id": 1})
    assert row["seq"] == len([m for m in relays.messages if m["group"] == "qlive1"]) == 3
    assert await relays.cursors.count_documents({"_id": 2}) == 1
