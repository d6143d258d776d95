import asyncio

import pytest

from realtime.codes import Code
from realtime.opening import Look, Since
from rooms.events import Numbered
from rooms.refusals import NotYourRoom, TryAgain
from tests.realtime.scene import ROOM, Ear, Scene, events


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.gen_test
async def test_what_is_told_between_reading_and_listening_is_neither_lost_nor_doubled(
    scene: Scene,
) -> None:
    scene.stored.meanwhile = lambda: scene.happen("profile", "profile")
    first = await scene.join(Ear("1"))
    assert first.words == [("snapshot", 0), *events(1, 2)]
    scene.stored.meanwhile = scene.happen
    second = await scene.join(Ear("2"))
    assert second.words == [("snapshot", 2), *events(3, 3)]
    scene.happen()
    assert second.words[2:] == events(4, 4)
    assert first.words == [("snapshot", 0), *events(1, 4)]


@pytest.mark.gen_test
async def test_what_is_saved_while_joining_and_hinted_after_comes_once(scene: Scene) -> None:
    late: list[Numbered] = []
    scene.stored.meanwhile = lambda: late.append(scene.stored.save())
    ear = await scene.join()
    scene.hint(late[0])
    assert ear.words == [("snapshot", 0), *events(1, 1)]


@pytest.mark.gen_test
async def test_whoever_is_shown_out_while_joining_does_not_stay(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.hub.show_out(ROOM, "1", 0)
    looks = 0

    async def look() -> Look:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise NotYourRoom
        return await scene.stored.look()

    with pytest.raises(NotYourRoom):
        await scene.join(look=look)
    assert (looks, scene.hub.channels) == (2, [])


@pytest.mark.gen_test
async def test_another_who_is_shown_out_meanwhile_does_not_matter(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.hub.show_out(ROOM, "2", 0)
    ear = await scene.join(Ear("1"))
    assert ear.words == [("snapshot", 0)]


@pytest.mark.gen_test
async def test_a_room_that_changes_faster_than_it_is_read_is_given_up(scene: Scene) -> None:
    async def look() -> Look:
        seen = await scene.stored.look()
        scene.hub.show_out(ROOM, "1", 0)
        return seen

    with pytest.raises(TryAgain):
        await scene.join(look=look)
    assert scene.hub.channels == []


@pytest.mark.gen_test
async def test_a_new_life_is_joined_while_the_old_one_still_has_sockets(scene: Scene) -> None:
    old = await scene.join(Ear("1"))
    scene.stored.begin_anew("b")
    new = await scene.join(Ear("2"))
    scene.happen()
    assert old.code == Code.ENDED
    assert [frame["epoch"] for frame in new.heard] == ["b", "b"]
    assert new.words == [("snapshot", 0), *events(1, 1)]


@pytest.mark.gen_test
async def test_two_join_at_once(scene: Scene) -> None:
    scene.stored.meanwhile = scene.happen
    first, second = await asyncio.gather(scene.join(Ear("1")), scene.join(Ear("2")))
    scene.happen()
    for ear in (first, second):
        at = ear.words[0][1]
        assert ear.words == [("snapshot", at), *events(at + 1, 2)]
    assert scene.hub.sockets == 2


@pytest.mark.gen_test
async def test_the_same_person_twice_at_once_keeps_one_socket(scene: Scene) -> None:
    ears = await asyncio.gather(scene.join(Ear("1")), scene.join(Ear("1")))
    assert [ear.code for ear in ears] == [Code.REPLACED, None]
    assert scene.hub.sockets == 1
    scene.hub.part(ROOM, ears[0])  # type: ignore[arg-type]
    assert scene.hub.sockets == 1


@pytest.mark.gen_test
async def test_a_look_that_fails_leaves_nothing_behind(scene: Scene) -> None:
    scene.stored.away = True
    with pytest.raises(ConnectionError):
        await scene.join()
    assert scene.hub.channels == []


@pytest.mark.gen_test
async def test_a_socket_that_closes_while_joining_is_not_kept(scene: Scene) -> None:
    ear = Ear()
    scene.stored.meanwhile = lambda: setattr(ear, "closed", True)
    await scene.join(ear)
    assert (ear.heard, scene.hub.channels) == ([], [])


@pytest.mark.gen_test
async def test_a_room_that_ends_while_somebody_joins_says_goodbye(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.happen("live_end")
    ear = await scene.join()
    assert (ear.code, scene.hub.channels) == (Code.ENDED, [])


@pytest.mark.gen_test
async def test_a_resume_reads_from_the_log_what_no_longer_is_here(scene: Scene) -> None:
    scene.happen("profile", "profile", "profile")
    scene.stored.meanwhile = scene.happen
    ear = await scene.join(since=Since("a", 1))
    assert ear.words == [("resumed", 4), *events(2, 4)]
    assert ear.heard[0]["replayed"] == 3
