import asyncio
from typing import Any

import pytest

from realtime.codes import Code
from realtime.opening import told
from rooms.events import Numbered
from rooms.people import Counts
from tests.realtime.scene import ROOM, Ear, Scene, events


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.gen_test
async def test_what_happens_after_joining_is_told_in_order(scene: Scene) -> None:
    scene.happen()
    ear = await scene.join()
    scene.happen("profile", "profile")
    assert ear.words == [("snapshot", 1), *events(2, 3)]
    assert scene.hub.events_told == 2


@pytest.mark.gen_test
async def test_a_lost_hint_is_filled_by_the_check(scene: Scene) -> None:
    ear = await scene.join()
    scene.stored.save()
    scene.stored.save()
    assert ear.words == [("snapshot", 0)]
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), *events(1, 2)]
    assert scene.hub.hints_filled == 2


@pytest.mark.gen_test
async def test_a_doubled_or_late_hint_is_dropped(scene: Scene) -> None:
    ear = await scene.join()
    first, second = scene.stored.save(), scene.stored.save()
    for event in (first, first, second, second, first):
        scene.hint(event)
    await scene.settle()
    assert ear.words == [("snapshot", 0), *events(1, 2)]


@pytest.mark.gen_test
async def test_hints_out_of_order_are_filled_from_the_log(scene: Scene) -> None:
    ear = await scene.join()
    first, second, third = (scene.stored.save() for _ in range(3))
    scene.hint(third)
    scene.hint(second)
    scene.hint(first)
    await scene.settle()
    assert ear.words == [("snapshot", 0), *events(1, 3)]


@pytest.mark.gen_test
async def test_a_log_that_cannot_be_read_is_read_by_the_next_check(scene: Scene) -> None:
    ear = await scene.join()
    scene.stored.save()
    scene.stored.away = True
    scene.hint(scene.stored.save())
    await scene.settle()
    with pytest.raises(ConnectionError):
        await scene.hub.check()
    assert ear.words == [("snapshot", 0)]
    scene.stored.away = False
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), *events(1, 2)]


@pytest.mark.gen_test
async def test_a_life_that_ended_unheard_ends_the_sockets(scene: Scene) -> None:
    ear = await scene.join()
    scene.stored.begin_anew("b")
    await scene.hub.check()
    assert ear.code == Code.ENDED
    assert scene.hub.channels == []


@pytest.mark.gen_test
async def test_the_last_event_that_was_not_heard_is_told_by_the_check(scene: Scene) -> None:
    ear = await scene.join()
    scene.stored.save("live_end")
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), ("live_end", 1)]
    assert ear.code == Code.ENDED
    assert scene.hub.channels == []


@pytest.mark.gen_test
async def test_a_hint_of_an_older_life_is_not_told(scene: Scene) -> None:
    old = scene.stored.save()
    scene.stored.begin_anew("b")
    ear = await scene.join()
    scene.hint(old)
    await scene.settle()
    assert ear.words == [("snapshot", 0)]


@pytest.mark.gen_test
async def test_the_last_to_leave_puts_the_channel_away(scene: Scene) -> None:
    ear = await scene.join()
    scene.hub.part(ROOM, ear)  # type: ignore[arg-type]
    assert scene.hub.channels == []
    scene.happen()
    assert ear.words == [("snapshot", 0)]


@pytest.mark.gen_test
async def test_one_count_serves_all_stirs_and_a_failed_one_is_tried_again(scene: Scene) -> None:
    ear = await scene.join()
    asked: list[list[tuple[int, str]]] = []

    async def count(lives: Any) -> dict[int, Counts]:
        asked.append(list(lives))
        if len(asked) == 1:
            raise ConnectionError
        return {ROOM: Counts(men=1)}

    scene.hub.stir(ROOM)
    scene.hub.stir(ROOM)
    with pytest.raises(ConnectionError):
        await scene.hub.show_audience(count)
    await scene.hub.show_audience(count)
    await scene.hub.show_audience(count)
    assert asked == [[(ROOM, "a")]] * 2
    assert ear.heard[1]["data"] == {"audience_count": 2, "num_list": [0, 1, 0, 0]}
    scene.hub.stir(ROOM)
    await scene.hub.show_audience(count)
    assert len(ear.heard) == 2, "the same numbers are not told again"


@pytest.mark.gen_test
async def test_the_silent_go_and_the_others_get_heartbeats(scene: Scene) -> None:
    quiet, alive = await scene.join(Ear("1")), await scene.join(Ear("2"))
    scene.happen()
    for now in (1.0, 31.0, 32.0):
        alive.heard_at = now
        scene.hub.beat(now, every=25, silent=30.5)
    assert quiet.code == Code.SILENT
    assert alive.words == [("snapshot", 0), *events(1, 1), ("heartbeat", 1)]


@pytest.mark.gen_test
async def test_a_long_run_of_bad_luck_loses_and_doubles_nothing(scene: Scene) -> None:
    """Hints of the same ten events in any order, some never: everybody hears 1 to 10."""
    ear = await scene.join()
    saved = [scene.stored.save() for _ in range(10)]
    for n in (3, 3, 0, 9, 1, 5, 2, 8):
        scene.hint(saved[n])
        await asyncio.sleep(0)
    await scene.settle()
    await scene.hub.check()
    assert ear.words == [("snapshot", 0), *events(1, 10)]


def test_a_hint_is_the_frame_that_a_replay_sends() -> None:
    event = Numbered("a", 1, 0, "live_end", {})
    assert told(ROOM, event).last
    assert told(ROOM, event) == told(ROOM, event)
