"""What the hub does again and again: heartbeats, goodbyes to the slow, counts; and the last one."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from realtime.codes import Code
from realtime.opening import Look, Since
from rooms.events import Numbered
from rooms.people import Counts
from tests.realtime.scene import ROOM, Ear, Scene, events

EVERY: dict[str, Any] = {"every": 25, "silent": 1e9}


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ---- heartbeats


@pytest.mark.gen_test(timeout=10)
async def test_a_heartbeat_names_no_event_that_is_still_on_its_way() -> None:
    """It would send whoever has not heard it yet away to resume."""
    scene = Scene(slice_=1)
    ears = [await scene.join(Ear(f"{n}")) for n in range(4)]
    scene.hub.beat(1.0, **EVERY)
    scene.happen()
    [channel] = scene.hub.channels
    while channel.sent < 1:
        for ear in ears:
            ear.next_beat = 1.0
        scene.hub.beat(2.0, **EVERY)
        await asyncio.sleep(0)
    for ear in ears:
        has = 0
        for word, seq in ear.words:
            has = max(has, seq) if word != "heartbeat" else has
            assert seq <= has, "a heartbeat named what had not come"
        ear.next_beat = 1.0
    scene.hub.beat(1000.0, **EVERY)
    assert [ear.words[-1] for ear in ears] == [("heartbeat", 1)] * 4
    assert [events(1, 1)[0] in ear.words for ear in ears] == [True] * 4


@pytest.mark.gen_test(timeout=10)
async def test_who_leaves_something_unread_for_too_long_is_cut_off(scene: Scene) -> None:
    slow, quick = await scene.join(Ear("1")), await scene.join(Ear("2"))
    slow.waits_too_long = True
    scene.hub.cut_late(1.0, 10)
    assert (slow.code, quick.code) == (Code.SLOW, None)


@pytest.mark.gen_test(timeout=10)
async def test_a_socket_that_never_joined_may_not_leave_things_unread_either(
    scene: Scene,
) -> None:
    waiting = Ear("")
    scene.hub.arrive(waiting)  # type: ignore[arg-type]
    waiting.waits_too_long = True
    scene.hub.cut_late(1.0, 10)
    assert waiting.code == Code.SLOW


# ---- counts


@pytest.mark.gen_test(timeout=10)
async def test_after_a_doubt_every_room_is_counted_again(scene: Scene) -> None:
    ear = await scene.join()
    men = 0

    async def count(lives: Iterable[tuple[int, str]]) -> dict[int, Counts]:
        return {live_id: Counts(men=men) for live_id, _ in lives}

    await scene.hub.show_audience(count)
    assert ear.heard[-1]["data"] == {"audience_count": 1, "num_list": [0, 0, 0, 0]}
    men = 3
    await scene.hub.show_audience(count)
    assert len(ear.heard) == 2, "nobody stirred"
    scene.hub.stir_all()
    await scene.hub.show_audience(count)
    assert ear.heard[-1]["data"] == {"audience_count": 4, "num_list": [0, 3, 0, 0]}
    scene.hub.stir_all()
    await scene.hub.show_audience(count)
    assert len(ear.heard) == 3, "the same numbers are not told again"


@pytest.mark.gen_test(timeout=10)
async def test_whoever_resumes_is_told_the_audience_though_it_is_the_same(scene: Scene) -> None:
    """While they were away it may have changed: what they know of it is old."""

    async def count(lives: Iterable[tuple[int, str]]) -> dict[int, Counts]:
        return {live_id: Counts(men=2) for live_id, _ in lives}

    await scene.join(Ear("1"))
    await scene.hub.show_audience(count)
    back = await scene.join(Ear("2"), since=Since("a", 0))
    assert back.words == [("resumed", 0)]
    await scene.hub.show_audience(count)
    assert back.heard[-1]["data"]["audience_count"] == 3


# ---- the last goodbye


@pytest.mark.gen_test(timeout=10)
async def test_a_farewell_reaches_whoever_listens_joins_or_has_not_said_who_they_are() -> None:
    scene = Scene(slice_=2)
    listening = [await scene.join(Ear(f"{n}")) for n in range(5)]
    joining, silent = Ear("joining"), Ear("")
    scene.hub.arrive(silent)  # type: ignore[arg-type]
    go_on = asyncio.Event()

    async def look() -> Look:
        await go_on.wait()
        return await scene.stored.look()

    task = asyncio.ensure_future(scene.join(joining, look=look))
    await asyncio.sleep(0)
    scene.hub.farewell(lambda user_id: 100 + len(user_id))
    go_on.set()
    await task
    while any(ear.code is None for ear in listening):
        await asyncio.sleep(0)
    everybody = [*listening, joining, silent]
    assert [ear.code for ear in everybody] == [Code.RESTART] * 7
    assert [ear.retry_ms for ear in everybody] == [101] * 5 + [107, 100]
    assert (joining.heard, scene.hub.sockets, scene.hub.channels) == ([], 0, [])


@pytest.mark.gen_test(timeout=10)
async def test_after_a_farewell_nothing_more_is_told(scene: Scene) -> None:
    """What was heard before the farewell stays what it is: the frames come first."""
    ear = await scene.join()
    scene.happen()
    scene.hub.farewell(lambda _: 100)
    scene.happen()
    assert (ear.words, ear.code) == ([("snapshot", 0), *events(1, 1)], Code.RESTART)
    assert scene.hub.open == 1, "until its connection is gone"
    scene.hub.part(ROOM, ear)  # type: ignore[arg-type]
    assert scene.hub.open == 0


# ---- the check


@pytest.mark.gen_test(timeout=10)
async def test_a_room_in_which_something_always_happens_does_not_hold_up_the_check(
    scene: Scene,
) -> None:
    """Every hint is lost, and whenever its log has been read there is one event more."""
    ear, log_since = await scene.join(), scene.stored.log_since

    async def never_ending(room: int, epoch: str, seq: int) -> list[Numbered] | None:
        scene.stored.save()
        return await log_since(room, epoch, seq)

    scene.stored.save()
    scene.stored.log_since = never_ending  # type: ignore[method-assign]
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), *events(1, 2)]
    scene.stored.save()
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), *events(1, 4)]
