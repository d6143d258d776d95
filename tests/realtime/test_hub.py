import asyncio
from typing import Any

import pytest

from realtime.bus import EventPublished
from realtime.close_codes import CloseCode
from rooms.events import NumberedEvent
from rooms.members import MemberCounts
from tests.support.hub import ROOM, HubFixture, OutboxSpy, profile_events


@pytest.mark.gen_test
async def test_events_after_joining_arrive_in_order(hub_fixture: HubFixture) -> None:
    hub_fixture.store_and_publish()
    outbox = await hub_fixture.join()
    hub_fixture.store_and_publish("profile", "profile")
    assert outbox.received_events == [("snapshot", 1), *profile_events(2, 3)]
    assert hub_fixture.hub.events_delivered == 2


@pytest.mark.gen_test
async def test_check_backfills_events_whose_message_was_lost(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.save()
    hub_fixture.stored.save()
    assert outbox.received_events == [("snapshot", 0)]
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 2)]
    assert hub_fixture.hub.events_backfilled == 2


@pytest.mark.gen_test
async def test_duplicate_or_late_messages_are_dropped(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    first, second = hub_fixture.stored.save(), hub_fixture.stored.save()
    for event in (first, first, second, second, first):
        hub_fixture.publish_event(event)
    await hub_fixture.wait_backfilled()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 2)]


@pytest.mark.gen_test
async def test_out_of_order_messages_are_backfilled_from_the_log(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    first, second, third = (hub_fixture.stored.save() for _ in range(3))
    hub_fixture.publish_event(third)
    hub_fixture.publish_event(second)
    hub_fixture.publish_event(first)
    await hub_fixture.wait_backfilled()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 3)]


@pytest.mark.gen_test
async def test_next_check_retries_after_the_log_was_unreadable(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.save()
    hub_fixture.stored.unavailable = True
    hub_fixture.publish_event(hub_fixture.stored.save())
    await hub_fixture.wait_backfilled()
    with pytest.raises(ConnectionError):
        await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0)]
    hub_fixture.stored.unavailable = False
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 2)]


@pytest.mark.gen_test
async def test_check_closes_sockets_of_a_replaced_epoch(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.start_epoch("b")
    await hub_fixture.hub.check()
    assert outbox.code == CloseCode.ENDED
    assert hub_fixture.hub.channels == []


@pytest.mark.gen_test
async def test_check_delivers_a_lost_live_end_and_closes_the_sockets(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.save("live_end")
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), ("live_end", 1)]
    assert outbox.code == CloseCode.ENDED
    assert hub_fixture.hub.channels == []


@pytest.mark.gen_test
async def test_event_of_an_older_epoch_is_not_delivered(hub_fixture: HubFixture) -> None:
    old = hub_fixture.stored.save()
    hub_fixture.stored.start_epoch("b")
    outbox = await hub_fixture.join()
    hub_fixture.publish_event(old)
    await hub_fixture.wait_backfilled()
    assert outbox.received_events == [("snapshot", 0)]


@pytest.mark.gen_test
async def test_last_disconnect_removes_the_channel(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.hub.disconnect(ROOM, outbox)  # type: ignore[arg-type]
    assert hub_fixture.hub.channels == []
    hub_fixture.store_and_publish()
    assert outbox.received_events == [("snapshot", 0)]


@pytest.mark.gen_test
async def test_audience_changes_share_one_count_and_a_failed_count_is_retried(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    queries: list[list[tuple[int, str]]] = []

    async def count(sessions: Any) -> dict[int, MemberCounts]:
        queries.append(list(sessions))
        if len(queries) == 1:
            raise ConnectionError
        return {ROOM: MemberCounts(men=1)}

    hub_fixture.hub.mark_audience_changed(ROOM)
    hub_fixture.hub.mark_audience_changed(ROOM)
    with pytest.raises(ConnectionError):
        await hub_fixture.hub.send_audience_counts(count)
    await hub_fixture.hub.send_audience_counts(count)
    await hub_fixture.hub.send_audience_counts(count)
    assert queries == [[(ROOM, "a")]] * 2
    assert outbox.received[1]["data"] == {"audience_count": 2, "num_list": [0, 1, 0, 0]}
    hub_fixture.hub.mark_audience_changed(ROOM)
    await hub_fixture.hub.send_audience_counts(count)
    assert len(outbox.received) == 2, "unchanged counts are not sent again"


@pytest.mark.gen_test
async def test_silent_sockets_are_closed_and_others_get_heartbeats(hub_fixture: HubFixture) -> None:
    quiet, active = await hub_fixture.join(OutboxSpy("1")), await hub_fixture.join(OutboxSpy("2"))
    hub_fixture.store_and_publish()
    for now in (1.0, 31.0, 32.0):
        active.received_at = now
        hub_fixture.hub.send_heartbeats(now, every=25, silent=30.5)
    assert quiet.code == CloseCode.SILENT
    assert active.received_events == [("snapshot", 0), *profile_events(1, 1), ("heartbeat", 1)]


@pytest.mark.gen_test
async def test_lost_duplicate_and_reordered_messages_deliver_each_event_once(
    hub_fixture: HubFixture,
) -> None:
    """Ten events are saved; their messages arrive in any order, twice or never."""
    outbox = await hub_fixture.join()
    saved = [hub_fixture.stored.save() for _ in range(10)]
    for n in (3, 3, 0, 9, 1, 5, 2, 8):
        hub_fixture.publish_event(saved[n])
        await asyncio.sleep(0)
    await hub_fixture.wait_backfilled()
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 10)]


def test_live_end_is_encoded_as_last_and_always_as_the_same_bytes() -> None:
    event = NumberedEvent("a", 1, 0, "live_end", {})
    assert EventPublished.of(ROOM, event).last
    assert EventPublished.of(ROOM, event) == EventPublished.of(ROOM, event)
