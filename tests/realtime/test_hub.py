"""Delivery of each event once and in order, and the hub's periodic jobs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from realtime.frames import CloseCode
from realtime.resume import ResumePosition
from rooms.events import NumberedEvent
from tests.support.hub import ROOM, HubFixture, SlowJoin, StoredRoom, WriterSpy, profile_events


async def test_events_arrive_in_order_from_joining_until_leaving(hub_fixture: HubFixture) -> None:
    hub_fixture.store_and_publish()
    writer = await hub_fixture.join()
    hub_fixture.store_and_publish("profile", "profile")
    assert writer.received_events == [("snapshot", 1), *profile_events(2, 3)]
    assert hub_fixture.hub.events_delivered == 2
    hub_fixture.hub.disconnect(writer, ROOM)
    assert hub_fixture.hub.channels == []
    hub_fixture.store_and_publish()
    assert len(writer.received) == 3


async def test_check_finishes_although_a_room_keeps_producing_events(
    hub_fixture: HubFixture,
) -> None:
    """Every message is lost, and each read of the log is followed by another event."""
    writer, log_since = await hub_fixture.join(), hub_fixture.stored.log_since

    async def never_ending(room: int, epoch: str, seq: int) -> list[NumberedEvent] | None:
        hub_fixture.stored.save()
        return await log_since(room, epoch, seq)

    hub_fixture.stored.save()
    hub_fixture.stored.log_since = never_ending
    await hub_fixture.hub.backfills.check()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 2)]


async def test_check_closes_sockets_of_a_live_that_has_ended(hub_fixture: HubFixture) -> None:
    """Whether the end is still in the log, or another epoch has begun."""
    writer = await hub_fixture.join()
    hub_fixture.stored.save("live_end")
    await hub_fixture.hub.backfills.check()
    assert writer.received_events == [("snapshot", 0), ("live_end", 1)]
    assert (writer.code, hub_fixture.hub.channels) == (CloseCode.ENDED, [])
    hub_fixture.stored.start_epoch("b")
    writer = await hub_fixture.join()
    hub_fixture.stored.start_epoch("c")
    await hub_fixture.hub.backfills.check()
    assert (writer.code, hub_fixture.hub.channels) == (CloseCode.ENDED, [])


async def test_event_of_an_older_epoch_is_not_delivered(hub_fixture: HubFixture) -> None:
    old = hub_fixture.stored.save()
    hub_fixture.stored.start_epoch("b")
    writer = await hub_fixture.join()
    hub_fixture.publish_event(old)
    await hub_fixture.wait_backfilled()
    assert writer.received_events == [("snapshot", 0)]


# ---- audience counts


class Counter:
    """Counts rooms: the host, and `men`; fails the first time if `fails`."""

    def __init__(self, *, fails: bool = False) -> None:
        self.men = 0
        self.fails = fails
        self.queries: list[list[tuple[int, str]]] = []

    async def __call__(self, sessions: Sequence[tuple[int, str]]) -> dict[int, Any]:
        self.queries.append(list(sessions))
        if self.fails:
            self.fails = False
            raise ConnectionError
        return {ROOM: {"audience_count": 1 + self.men, "num_list": [0, self.men, 0, 0]}}


async def test_audience_changes_share_one_count_and_a_failed_count_is_retried(
    hub_fixture: HubFixture,
) -> None:
    writer, count = await hub_fixture.join(), Counter(fails=True)
    hub_fixture.hub.mark_audience_changed(ROOM)
    hub_fixture.hub.mark_audience_changed(ROOM)
    with pytest.raises(ConnectionError):
        await hub_fixture.hub.send_transient("audience", count)
    for _ in range(2):
        await hub_fixture.hub.send_transient("audience", count)
    assert count.queries == [[(ROOM, "a")]] * 2
    assert writer.received[1]["data"] == {"audience_count": 1, "num_list": [0, 0, 0, 0]}


async def test_a_count_is_sent_if_it_has_changed_or_a_client_resumes(
    hub_fixture: HubFixture,
) -> None:
    """It may have changed while that client was disconnected."""
    writer, count = await hub_fixture.join(WriterSpy("1")), Counter()
    for men, sent in ((0, 1), (3, 2), (3, 2)):
        count.men = men
        hub_fixture.hub.refresh_all()
        await hub_fixture.hub.send_transient("audience", count)
        assert len(writer.received) == 1 + sent
    assert writer.received[-1]["data"] == {"audience_count": 4, "num_list": [0, 3, 0, 0]}
    resumed = await hub_fixture.join(WriterSpy("2"), since=ResumePosition("a", 0))
    await hub_fixture.hub.send_transient("audience", count)
    assert [frame["type"] for frame in resumed.received] == ["resumed", "audience"]


# ---- heartbeats, and clients that are silent or slow


async def test_silent_sockets_are_closed_and_others_get_heartbeats(hub_fixture: HubFixture) -> None:
    quiet, active = await hub_fixture.join(WriterSpy("1")), await hub_fixture.join(WriterSpy("2"))
    hub_fixture.store_and_publish()
    for now in (1.0, 31.0, 32.0):
        active.received_at = now
        hub_fixture.hub.send_heartbeats(now, every=25, silent=30.5)
    assert quiet.code == CloseCode.SILENT
    assert active.received_events == [("snapshot", 0), *profile_events(1, 1), ("heartbeat", 1)]


async def test_stalled_sockets_are_disconnected_even_before_they_join(
    hub_fixture: HubFixture,
) -> None:
    unauthenticated = WriterSpy("")
    slow, quick = await hub_fixture.join(WriterSpy("1")), await hub_fixture.join(WriterSpy("2"))
    hub_fixture.hub.connect(unauthenticated)
    slow.stalled = unauthenticated.stalled = True
    hub_fixture.hub.disconnect_slow(1.0, 10)
    codes = [writer.code for writer in (slow, unauthenticated, quick)]
    assert codes == [CloseCode.SLOW, CloseCode.SLOW, None]


# ---- shutdown


async def test_close_all_closes_joined_joining_and_unauthenticated_sockets() -> None:
    hub_fixture = HubFixture(slice_=2)
    joined = [await hub_fixture.join(WriterSpy(f"{n}")) for n in range(5)]
    joining, unauthenticated = WriterSpy("joining"), WriterSpy("")
    hub_fixture.hub.connect(unauthenticated)
    join = SlowJoin(hub_fixture, joining)
    await join.has_read()
    hub_fixture.hub.close_all(lambda user_id: 100 + len(user_id))
    await join.finish()
    while any(writer.code is None for writer in joined):
        await asyncio.sleep(0)
    every_writer = [*joined, joining, unauthenticated]
    assert [writer.code for writer in every_writer] == [CloseCode.RESTART] * 7
    assert [writer.retry_ms for writer in every_writer] == [101] * 5 + [107, 100]
    assert (joining.received, hub_fixture.hub.socket_count, hub_fixture.hub.channels) == ([], 0, [])
    assert hub_fixture.hub.open_count == 7, "they are still closing"
    hub_fixture.hub.disconnect(unauthenticated, ROOM)
    assert hub_fixture.hub.open_count == 6


# ---- a room that lacks more events than the log has


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
    await hub_fixture.hub.backfills.check()
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


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda stored: setattr(stored, "live", False), CloseCode.ENDED),
        (lambda stored: stored.start_epoch("b"), CloseCode.RESTART),
        (lambda stored: setattr(stored, "log", stored.log[:1]), CloseCode.RESTART),
    ],
    ids=["it has ended", "another live", "a restored backup"],
)
async def test_room_that_cannot_be_continued_closes_its_sockets(
    hub_fixture: HubFixture, change: Callable[[StoredRoom], None], code: CloseCode
) -> None:
    hub_fixture.store_and_publish("profile", "profile")
    writer = await hub_fixture.join()
    events = lose_events(hub_fixture, 5)

    hub_fixture.stored.after_read = lambda: change(hub_fixture.stored)
    hub_fixture.publish_event(events[-1])
    await hub_fixture.wait_backfilled()
    assert (writer.received_events, writer.code) == ([("snapshot", 2)], code)
    assert hub_fixture.hub.channels == []


async def test_count_sent_before_the_snapshot_is_sent_again_after_it(
    hub_fixture: HubFixture,
) -> None:
    """The snapshot may have been read before that count."""
    writer = await hub_fixture.join()
    await hub_fixture.hub.send_transient("audience", Counter())
    lose_events(hub_fixture, 5)
    await hub_fixture.hub.backfills.check()
    await hub_fixture.hub.send_transient("audience", Counter())
    types = [frame["type"] for frame in writer.received]
    assert types == ["snapshot", "audience", "snapshot", "audience"]
