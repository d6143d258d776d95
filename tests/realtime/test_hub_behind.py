"""A room that lacks more events than the log has: its sockets get one snapshot, and stay open."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from realtime.close_codes import CloseCode
from realtime.resume import ResumePosition, RoomView
from rooms.events import NumberedEvent
from rooms.members import MemberCounts
from tests.support.hub import HubFixture, OutboxSpy, SlowJoin, profile_events
from tests.support.waiting import run_ready_tasks


def lose_events(hub_fixture: HubFixture, count: int) -> list[NumberedEvent]:
    """Events of which no hint arrives, and of which only the last is still in the log."""
    events = [hub_fixture.stored.save() for _ in range(count)]
    hub_fixture.stored.oldest = len(hub_fixture.stored.log)
    return events


def publish_during_reads(hub_fixture: HubFixture, times: int) -> None:
    """Publish an event during each of the next reads of log and room."""

    def publish() -> None:
        hub_fixture.store_and_publish()
        if times > 1:
            publish_during_reads(hub_fixture, times - 1)

    hub_fixture.stored.after_read = publish


async def test_sockets_of_a_room_that_fell_behind_get_a_snapshot_and_stay_open(
    hub_fixture: HubFixture,
) -> None:
    outboxes = [await hub_fixture.join(OutboxSpy(f"{n}")) for n in range(3)]
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    outboxes[0].next_heartbeat = 1.0
    hub_fixture.hub.send_heartbeats(2.0, every=25, silent=1e9)
    assert outboxes[0].received.pop()["seq"] == 5, "the heartbeat names the snapshot's position"
    hub_fixture.store_and_publish()
    for outbox in outboxes:
        assert outbox.received_events == [("snapshot", 0), ("snapshot", 5), *profile_events(6, 6)]
        assert outbox.received[1]["reset"] == "too_old"
        assert not outbox.closed


async def test_a_large_room_gets_the_snapshot_behind_the_events_in_progress() -> None:
    hub_fixture = HubFixture(slice_=2)
    outboxes = [await hub_fixture.join(OutboxSpy(f"{n}")) for n in range(5)]
    hub_fixture.store_and_publish()
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    hub_fixture.store_and_publish()
    await run_ready_tasks(30)
    expected = [("snapshot", 0), ("profile", 1), ("snapshot", 6), ("profile", 7)]
    assert [outbox.received_events for outbox in outboxes] == [expected] * 5


async def test_events_published_while_the_snapshot_is_read_follow_it_once(
    hub_fixture: HubFixture,
) -> None:
    """A hint beyond the gap starts the backfill; more follow while log and room are read."""
    outbox = await hub_fixture.join()
    lose_events(hub_fixture, 5)
    publish_during_reads(hub_fixture, 3)
    hub_fixture.store_and_publish()
    await hub_fixture.wait_backfilled()
    last = len(hub_fixture.stored.log)
    [first, snapshot, *events] = outbox.received_events
    assert (first, snapshot[0]) == (("snapshot", 0), "snapshot")
    assert events == profile_events(snapshot[1] + 1, last)
    assert snapshot[1] > 5


async def test_backfill_ends_although_events_are_published_during_every_read(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.save()
    publish_during_reads(hub_fixture, 20)
    hub_fixture.store_and_publish()
    await hub_fixture.wait_backfilled()
    last = len(hub_fixture.stored.log)
    assert last == 3, "there was one read"
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, last)]
    assert hub_fixture.hub.events_delivered == last


async def test_backfill_repeats_for_an_event_lost_during_its_read(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.stored.save()

    def lose_another() -> None:
        hub_fixture.stored.save()
        hub_fixture.store_and_publish()

    hub_fixture.stored.after_read = lose_another
    hub_fixture.store_and_publish()
    await hub_fixture.wait_backfilled()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 4)]


@pytest.mark.parametrize("since", [None, ResumePosition("a", 0), ResumePosition("a", 5)])
async def test_socket_that_joins_while_the_room_is_behind_misses_no_event(
    hub_fixture: HubFixture, since: ResumePosition | None
) -> None:
    old = await hub_fixture.join(OutboxSpy("1"))
    lose_events(hub_fixture, 5)
    new = OutboxSpy("2")
    hub_fixture.stored.after_read = hub_fixture.store_and_publish
    await asyncio.gather(hub_fixture.hub.check(), hub_fixture.join(new, since))
    await hub_fixture.wait_backfilled()
    hub_fixture.store_and_publish()
    last = len(hub_fixture.stored.log)
    for outbox in (old, new):
        assert not outbox.closed
        *_, (type_, seq) = [event for event in outbox.received_events if event[0] != "profile"]
        events = outbox.received_events[outbox.received_events.index((type_, seq)) + 1 :]
        replayed = outbox.received[0].get("replayed", 0) if type_ == "resumed" else 0
        assert events == profile_events(seq - replayed + 1, last)
    assert len(new.received_events) == len(set(new.received_events))


async def test_join_during_the_read_of_the_snapshot_gets_the_room_once(
    hub_fixture: HubFixture,
) -> None:
    """The channel skips ahead between the join's read of the room and its first frame."""
    old = await hub_fixture.join(OutboxSpy("1"))
    new = OutboxSpy("2")
    joining = SlowJoin(hub_fixture, new)
    await joining.has_read()
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    await joining.finish()
    hub_fixture.store_and_publish()
    assert old.received_events == [("snapshot", 0), ("snapshot", 5), *profile_events(6, 6)]
    assert new.received_events == [("snapshot", 5), *profile_events(6, 6)]


async def test_two_tasks_that_find_the_room_behind_send_one_snapshot(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    lose_events(hub_fixture, 5)
    await asyncio.gather(hub_fixture.hub.check(), hub_fixture.hub.check())
    assert outbox.received_events == [("snapshot", 0), ("snapshot", 5)]


async def test_failed_read_of_the_room_is_repeated_by_the_next_check(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join()
    lose_events(hub_fixture, 5)

    async def fail(_live_id: int) -> RoomView | None:
        raise ConnectionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_fixture.hub, "_load_room", fail)
        await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0)]
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), ("snapshot", 5)]


def end_live(hub_fixture: HubFixture) -> None:
    hub_fixture.stored.live = False


def start_another(hub_fixture: HubFixture) -> None:
    hub_fixture.stored.start_epoch("b")


def restore_backup(hub_fixture: HubFixture) -> None:
    hub_fixture.stored.log = hub_fixture.stored.log[:1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (end_live, CloseCode.ENDED),
        (start_another, CloseCode.RESTART),
        (restore_backup, CloseCode.RESTART),
    ],
)
async def test_room_that_cannot_be_continued_closes_its_sockets(
    hub_fixture: HubFixture, change: Callable[[HubFixture], None], code: CloseCode
) -> None:
    hub_fixture.store_and_publish("profile", "profile")
    outbox = await hub_fixture.join()
    events = lose_events(hub_fixture, 5)

    hub_fixture.stored.after_read = lambda: change(hub_fixture)
    hub_fixture.publish_event(events[-1])
    await hub_fixture.wait_backfilled()
    assert (outbox.received_events, outbox.code) == ([("snapshot", 2)], code)
    assert hub_fixture.hub.channels == []


async def count_one_host(sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
    return {live_id: MemberCounts() for live_id, _ in sessions}


async def test_count_sent_before_the_snapshot_is_sent_again_after_it(
    hub_fixture: HubFixture,
) -> None:
    """The snapshot may have been read before that count."""
    outbox = await hub_fixture.join()
    await hub_fixture.hub.send_audience_counts(count_one_host)
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    await hub_fixture.hub.send_audience_counts(count_one_host)
    types = [frame["type"] for frame in outbox.received]
    assert types == ["snapshot", "audience", "snapshot", "audience"]


async def test_positions_before_the_snapshot_cannot_be_resumed_from_memory(
    hub_fixture: HubFixture,
) -> None:
    hub_fixture.store_and_publish()
    await hub_fixture.join(OutboxSpy("1"))
    hub_fixture.store_and_publish()
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    hub_fixture.store_and_publish()
    behind = await hub_fixture.join(OutboxSpy("2"), ResumePosition("a", 1))
    level = await hub_fixture.join(OutboxSpy("3"), ResumePosition("a", 7))
    assert (behind.received_events, behind.received[0]["reset"]) == ([("snapshot", 8)], "too_old")
    assert level.received_events == [("resumed", 8), *profile_events(8, 8)]
