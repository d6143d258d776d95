"""The hub's periodic jobs, and closing every socket at shutdown."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from realtime.close_codes import CloseCode
from realtime.resume import ResumePosition, RoomView
from rooms.events import NumberedEvent
from rooms.members import MemberCounts
from tests.support.hub import ROOM, HubFixture, OutboxSpy, profile_events

HEARTBEAT: dict[str, Any] = {"every": 25, "silent": 1e9}


@pytest.mark.gen_test(timeout=10)
async def test_heartbeat_never_names_an_event_still_being_delivered() -> None:
    """A client without that event would reconnect to resume."""
    hub_fixture = HubFixture(slice_=1)
    outboxes = [await hub_fixture.join(OutboxSpy(f"{n}")) for n in range(4)]
    hub_fixture.hub.send_heartbeats(1.0, **HEARTBEAT)
    hub_fixture.store_and_publish()
    [channel] = hub_fixture.hub.channels
    while channel.sent < 1:
        for outbox in outboxes:
            outbox.next_heartbeat = 1.0
        hub_fixture.hub.send_heartbeats(2.0, **HEARTBEAT)
        await asyncio.sleep(0)
    for outbox in outboxes:
        last_seq = 0
        for type_, seq in outbox.received_events:
            last_seq = max(last_seq, seq) if type_ != "heartbeat" else last_seq
            assert seq <= last_seq, "the heartbeat named an undelivered event"
        outbox.next_heartbeat = 1.0
    hub_fixture.hub.send_heartbeats(1000.0, **HEARTBEAT)
    assert [outbox.received_events[-1] for outbox in outboxes] == [("heartbeat", 1)] * 4
    assert [profile_events(1, 1)[0] in outbox.received_events for outbox in outboxes] == [True] * 4


@pytest.mark.gen_test(timeout=10)
async def test_stalled_socket_is_disconnected(hub_fixture: HubFixture) -> None:
    slow, quick = await hub_fixture.join(OutboxSpy("1")), await hub_fixture.join(OutboxSpy("2"))
    slow.stalled = True
    hub_fixture.hub.disconnect_slow(1.0, 10)
    assert (slow.code, quick.code) == (CloseCode.SLOW, None)


@pytest.mark.gen_test(timeout=10)
async def test_stalled_socket_that_never_joined_is_disconnected(
    hub_fixture: HubFixture,
) -> None:
    unauthenticated = OutboxSpy("")
    hub_fixture.hub.connect(unauthenticated)  # type: ignore[arg-type]
    unauthenticated.stalled = True
    hub_fixture.hub.disconnect_slow(1.0, 10)
    assert unauthenticated.code == CloseCode.SLOW


# ---- audience counts


@pytest.mark.gen_test(timeout=10)
async def test_marking_all_audiences_changed_recounts_every_room(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    men = 0

    async def count(sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
        return {live_id: MemberCounts(men=men) for live_id, _ in sessions}

    await hub_fixture.hub.send_audience_counts(count)
    assert outbox.received[-1]["data"] == {"audience_count": 1, "num_list": [0, 0, 0, 0]}
    men = 3
    await hub_fixture.hub.send_audience_counts(count)
    assert len(outbox.received) == 2, "no audience has changed"
    hub_fixture.hub.mark_all_audiences_changed()
    await hub_fixture.hub.send_audience_counts(count)
    assert outbox.received[-1]["data"] == {"audience_count": 4, "num_list": [0, 3, 0, 0]}
    hub_fixture.hub.mark_all_audiences_changed()
    await hub_fixture.hub.send_audience_counts(count)
    assert len(outbox.received) == 3, "unchanged counts are not sent again"


@pytest.mark.gen_test(timeout=10)
async def test_resumed_socket_gets_the_audience_count_even_if_unchanged(
    hub_fixture: HubFixture,
) -> None:
    """The count may have changed while the client was disconnected."""

    async def count(sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
        return {live_id: MemberCounts(men=2) for live_id, _ in sessions}

    await hub_fixture.join(OutboxSpy("1"))
    await hub_fixture.hub.send_audience_counts(count)
    resumed = await hub_fixture.join(OutboxSpy("2"), since=ResumePosition("a", 0))
    assert resumed.received_events == [("resumed", 0)]
    await hub_fixture.hub.send_audience_counts(count)
    assert resumed.received[-1]["data"]["audience_count"] == 3


# ---- shutdown


@pytest.mark.gen_test(timeout=10)
async def test_close_all_closes_joined_joining_and_unauthenticated_sockets() -> None:
    hub_fixture = HubFixture(slice_=2)
    joined = [await hub_fixture.join(OutboxSpy(f"{n}")) for n in range(5)]
    joining, unauthenticated = OutboxSpy("joining"), OutboxSpy("")
    hub_fixture.hub.connect(unauthenticated)  # type: ignore[arg-type]
    may_load = asyncio.Event()

    async def load_view() -> RoomView:
        await may_load.wait()
        return await hub_fixture.stored.load_view()

    task = asyncio.ensure_future(hub_fixture.join(joining, load_view=load_view))
    await asyncio.sleep(0)
    hub_fixture.hub.close_all(lambda user_id: 100 + len(user_id))
    may_load.set()
    await task
    while any(outbox.code is None for outbox in joined):
        await asyncio.sleep(0)
    every_outbox = [*joined, joining, unauthenticated]
    assert [outbox.code for outbox in every_outbox] == [CloseCode.RESTART] * 7
    assert [outbox.retry_ms for outbox in every_outbox] == [101] * 5 + [107, 100]
    assert (joining.received, hub_fixture.hub.sockets, hub_fixture.hub.channels) == ([], 0, [])


@pytest.mark.gen_test(timeout=10)
async def test_no_event_is_delivered_after_close_all(hub_fixture: HubFixture) -> None:
    outbox = await hub_fixture.join()
    hub_fixture.store_and_publish()
    hub_fixture.hub.close_all(lambda _: 100)
    hub_fixture.store_and_publish()
    assert (outbox.received_events, outbox.code) == (
        [("snapshot", 0), *profile_events(1, 1)],
        CloseCode.RESTART,
    )
    assert hub_fixture.hub.open == 1, "the connection is still closing"
    hub_fixture.hub.disconnect(ROOM, outbox)  # type: ignore[arg-type]
    assert hub_fixture.hub.open == 0


# ---- check


@pytest.mark.gen_test(timeout=10)
async def test_check_finishes_although_a_room_keeps_producing_events(
    hub_fixture: HubFixture,
) -> None:
    """Every message is lost, and each read of the log is followed by another event."""
    outbox, log_since = await hub_fixture.join(), hub_fixture.stored.log_since

    async def never_ending(room: int, epoch: str, seq: int) -> list[NumberedEvent] | None:
        hub_fixture.stored.save()
        return await log_since(room, epoch, seq)

    hub_fixture.stored.save()
    hub_fixture.stored.log_since = never_ending  # type: ignore[method-assign]
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 2)]
    hub_fixture.stored.save()
    await hub_fixture.hub.check()
    assert outbox.received_events == [("snapshot", 0), *profile_events(1, 4)]
