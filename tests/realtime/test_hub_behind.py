"""A room that lacks more events than the log has: its sockets get one snapshot, and stay open."""

from collections.abc import Callable, Iterable

import pytest

from realtime.frames import CloseCode
from rooms.events import NumberedEvent
from rooms.members import MemberCounts
from tests.support.hub import HubFixture, WriterSpy, profile_events


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
    writers = [await hub_fixture.join(WriterSpy(f"{n}")) for n in range(3)]
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    writers[0].next_heartbeat = 1.0
    hub_fixture.hub.send_heartbeats(2.0, every=25, silent=1e9)
    assert writers[0].received.pop()["seq"] == 5, "the heartbeat names the snapshot's position"
    hub_fixture.store_and_publish()
    for writer in writers:
        assert writer.received_events == [("snapshot", 0), ("snapshot", 5), *profile_events(6, 6)]
        assert writer.received[1]["reset"] == "too_old"
        assert not writer.closed


async def test_backfill_ends_although_events_are_published_during_every_read(
    hub_fixture: HubFixture,
) -> None:
    writer = await hub_fixture.join()
    hub_fixture.stored.save()
    publish_during_reads(hub_fixture, 20)
    hub_fixture.store_and_publish()
    await hub_fixture.wait_backfilled()
    last = len(hub_fixture.stored.log)
    assert last == 3, "there was one read"
    assert writer.received_events == [("snapshot", 0), *profile_events(1, last)]
    assert hub_fixture.hub.events_delivered == last


async def test_backfill_repeats_for_an_event_lost_during_its_read(
    hub_fixture: HubFixture,
) -> None:
    writer = await hub_fixture.join()
    hub_fixture.stored.save()

    def lose_another() -> None:
        hub_fixture.stored.save()
        hub_fixture.store_and_publish()

    hub_fixture.stored.after_read = lose_another
    hub_fixture.store_and_publish()
    await hub_fixture.wait_backfilled()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 4)]


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
    writer = await hub_fixture.join()
    events = lose_events(hub_fixture, 5)

    hub_fixture.stored.after_read = lambda: change(hub_fixture)
    hub_fixture.publish_event(events[-1])
    await hub_fixture.wait_backfilled()
    assert (writer.received_events, writer.code) == ([("snapshot", 2)], code)
    assert hub_fixture.hub.channels == []


async def count_one_host(sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
    return {live_id: MemberCounts() for live_id, _ in sessions}


async def test_count_sent_before_the_snapshot_is_sent_again_after_it(
    hub_fixture: HubFixture,
) -> None:
    """The snapshot may have been read before that count."""
    writer = await hub_fixture.join()
    await hub_fixture.hub.send_audience_counts(count_one_host)
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.check()
    await hub_fixture.hub.send_audience_counts(count_one_host)
    types = [frame["type"] for frame in writer.received]
    assert types == ["snapshot", "audience", "snapshot", "audience"]
