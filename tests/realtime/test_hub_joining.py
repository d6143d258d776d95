import asyncio

import pytest

from core.errors import TryAgain
from realtime.frames import CloseCode
from realtime.resume import ResumePosition, RoomView
from tests.support.hub import ROOM, HubFixture, WriterSpy, profile_events


async def test_join_gives_up_after_repeated_evictions(hub_fixture: HubFixture) -> None:
    async def load_view() -> RoomView:
        view = await hub_fixture.stored.load_view()
        hub_fixture.hub.evict(ROOM, "1", 0)
        return view

    with pytest.raises(TryAgain):
        await hub_fixture.join(load_view=load_view)
    assert hub_fixture.hub.channels == []


async def test_joining_a_new_epoch_closes_the_sockets_of_the_old_epoch(
    hub_fixture: HubFixture,
) -> None:
    old = await hub_fixture.join(WriterSpy("1"))
    hub_fixture.stored.start_epoch("b")
    new = await hub_fixture.join(WriterSpy("2"))
    hub_fixture.store_and_publish()
    assert old.code == CloseCode.ENDED
    assert [frame["epoch"] for frame in new.received] == ["b", "b"]
    assert new.received_events == [("snapshot", 0), *profile_events(1, 1)]


async def test_two_sockets_of_a_user_joining_at_once_leave_one_open(
    hub_fixture: HubFixture,
) -> None:
    writers = await asyncio.gather(
        hub_fixture.join(WriterSpy("1")), hub_fixture.join(WriterSpy("1"))
    )
    assert [writer.code for writer in writers] == [CloseCode.REPLACED, None]
    assert hub_fixture.hub.socket_count == 1
    hub_fixture.hub.disconnect(ROOM, writers[0])
    assert hub_fixture.hub.socket_count == 1


async def test_join_that_does_not_end_with_an_open_socket_leaves_no_channel(
    hub_fixture: HubFixture,
) -> None:
    hub_fixture.stored.unavailable = True
    with pytest.raises(ConnectionError):
        await hub_fixture.join()
    assert hub_fixture.hub.channels == []
    hub_fixture.stored.unavailable = False
    closed = WriterSpy()
    hub_fixture.stored.after_read = lambda: setattr(closed, "closed", True)
    await hub_fixture.join(closed)
    assert (closed.received, hub_fixture.hub.channels) == ([], [])
    hub_fixture.stored.after_read = lambda: hub_fixture.store_and_publish("live_end")
    ended = await hub_fixture.join()
    assert (ended.code, hub_fixture.hub.channels) == (CloseCode.ENDED, [])


@pytest.mark.parametrize(
    ("epoch", "seq", "reset"),
    [("a", 4, "ahead"), ("a", 10**14, "ahead"), ("b", 3, "epoch"), ("", 0, "epoch")],
)
async def test_wrong_resume_position_is_corrected_by_a_snapshot(
    hub_fixture: HubFixture, epoch: str, seq: int, reset: str
) -> None:
    """Endless reconnects with a wrong sequence number: mattermost #30388."""
    hub_fixture.store_and_publish("profile", "profile", "profile")
    writer = await hub_fixture.join(since=ResumePosition(epoch, seq))
    assert (writer.received_events, writer.received[0]["reset"]) == ([("snapshot", 3)], reset)
    resumed = await hub_fixture.join(WriterSpy("2"), since=ResumePosition("a", 3))
    assert (resumed.received_events, resumed.received[0]["replayed"]) == ([("resumed", 3)], 0)
    hub_fixture.store_and_publish()
    for joined in (writer, resumed):
        assert joined.received_events[1:] == profile_events(4, 4)
