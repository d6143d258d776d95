"""Whose sockets are closed by what other processes tell, and by a look at where people are."""

import asyncio
from collections.abc import Callable

import pytest

from realtime.bus import Arrived, Revoked, ShownOut
from realtime.codes import Code
from realtime.hub import AT_ONCE
from realtime.opening import Look
from rooms.presence import Standing
from rooms.refusals import NotYourRoom
from tests.realtime.scene import ROOM, Ear, Scene, events

HERE = "one"
CODES = {"left": Code.NOT_A_MEMBER, "banned": Code.PUT_OUT, "logged_out": Code.TOKEN}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def standing(number: int = 1, process: str | None = HERE) -> Standing:
    """A place in the room that the scene is about."""
    return Standing(ROOM, "a", number, process)


class Register:
    """Where people are, as storage would say; who is nowhere is away for a reason."""

    def __init__(self, places: dict[str, Standing], reasons: dict[str, Code] | None = None) -> None:
        self.places = places
        self.reasons = reasons or {}
        self.down = False
        self.asked: list[list[str]] = []
        self.why: list[tuple[int, str]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def standing(self, user_ids: list[str]) -> dict[str, Standing]:
        self.asked.append(user_ids)
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError
        return {who: self.places[who] for who in user_ids if who in self.places}

    async def why_not(self, live_id: int, user_id: str) -> Code | None:
        self.why.append((live_id, user_id))
        reason = self.reasons.get(user_id)
        await asyncio.sleep(0)
        self.meanwhile()
        return reason


# ---- a newer socket elsewhere


@pytest.mark.gen_test(timeout=10)
async def test_a_newer_socket_on_another_process_replaces_the_one_here(scene: Scene) -> None:
    older, other = await scene.join(Ear("1", number=2)), await scene.join(Ear("2", number=2))
    scene.hub.hear(Arrived(ROOM, "a", "1", 3))
    assert (older.code, other.code) == (Code.REPLACED, None)
    assert scene.hub.sockets == 1


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("number", [1, 2])
async def test_an_older_socket_and_its_own_arrival_replace_nothing(
    scene: Scene, number: int
) -> None:
    ear = await scene.join(Ear("1", number=2))
    scene.hub.hear(Arrived(ROOM, "a", "1", number))
    assert ear.code is None


@pytest.mark.gen_test(timeout=10)
async def test_an_arrival_in_another_life_or_room_replaces_nothing(scene: Scene) -> None:
    ear = await scene.join(Ear("1", number=2))
    scene.hub.hear(Arrived(ROOM, "b", "1", 9))
    scene.hub.hear(Arrived(ROOM + 1, "a", "1", 9))
    assert ear.code is None


@pytest.mark.gen_test(timeout=10)
async def test_a_socket_that_was_overtaken_while_joining_is_told(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.hub.hear(Arrived(ROOM, "a", "1", 5))
    ear = await scene.join(Ear("1", number=4))
    assert (ear.code, ear.heard, scene.hub.sockets) == (Code.REPLACED, [], 0)


@pytest.mark.gen_test(timeout=10)
async def test_a_socket_that_overtakes_while_joining_stays(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.hub.hear(Arrived(ROOM, "a", "1", 3))
    ear = await scene.join(Ear("1", number=4))
    assert (ear.code, ear.words) == (None, [("snapshot", 0)])


@pytest.mark.gen_test(timeout=10)
async def test_an_older_socket_that_joins_last_does_not_replace_the_newer(scene: Scene) -> None:
    newer = await scene.join(Ear("1", number=5))
    older = await scene.join(Ear("1", number=4))
    assert (newer.code, older.code) == (None, Code.REPLACED)
    scene.happen()
    assert newer.words == [("snapshot", 0), *events(1, 1)]


# ---- tokens and evictions


@pytest.mark.gen_test(timeout=10)
async def test_a_token_given_back_closes_its_own_sockets_and_no_other(scene: Scene) -> None:
    mine = await scene.join(Ear("1", token_id="t1"))
    theirs = await scene.join(Ear("2", token_id="t2"))
    scene.hub.hear(Revoked("t1"))
    assert (mine.code, theirs.code) == (Code.TOKEN, None)
    assert scene.hub.sockets == 1


@pytest.mark.gen_test(timeout=10)
async def test_a_token_given_back_while_its_socket_joins_closes_it(scene: Scene) -> None:
    scene.stored.meanwhile = lambda: scene.hub.hear(Revoked("t1"))
    ear = await scene.join(Ear("1", token_id="t1"))
    assert (ear.code, ear.heard, scene.hub.channels) == (Code.TOKEN, [], [])


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_banned_is_shown_out_wherever_they_are(scene: Scene) -> None:
    ear, other = await scene.join(Ear("1")), await scene.join(Ear("2"))
    scene.hub.hear(ShownOut("1", None, Code.PUT_OUT))
    scene.hub.hear(ShownOut("2", ROOM + 1, Code.PUT_OUT))
    assert (ear.code, other.code) == (Code.PUT_OUT, None)


# ---- a look at where people are


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_no_longer_in_the_room_is_closed_with_the_right_code(
    scene: Scene,
) -> None:
    ears = {who: await scene.join(Ear(who, number=1)) for who in ("stays", *CODES)}
    register = Register({"stays": standing(), "left": Standing(ROOM + 1, "x", 1, HERE)}, CODES)
    await scene.hub.check_places(register.standing, register.why_not)
    assert {who: ear.code for who, ear in ears.items()} == {"stays": None, **CODES}
    assert sorted(register.why) == sorted((ROOM, who) for who in CODES)
    assert [outbox.user_id for _, outbox in scene.hub.members] == ["stays"]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize(
    ("place", "code"),
    [
        (standing(2, HERE), Code.REPLACED),
        (standing(2, "two"), Code.REPLACED),
        (standing(2, None), Code.RESTART),  # the newer one is gone already
        (standing(0, None), Code.RESTART),  # they have left and come in again
    ],
)
async def test_a_look_closes_a_socket_that_is_not_the_newest(
    scene: Scene, place: Standing, code: Code
) -> None:
    ear = await scene.join(Ear("1", number=1))
    register = Register({"1": place})
    await scene.hub.check_places(register.standing, register.why_not)
    assert ear.code == code
    assert scene.hub.channels == []


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_found_in_a_live_that_is_over_hears_of_the_end_first(
    scene: Scene,
) -> None:
    """The look may be faster than the check that would have told them."""
    ears = [await scene.join(Ear(who, number=1)) for who in ("1", "2")]
    scene.stored.save("profile")
    scene.stored.save("live_end")
    register = Register({}, {"1": Code.ENDED, "2": Code.ENDED})
    await scene.hub.check_places(register.standing, register.why_not)
    for ear in ears:
        assert ear.words == [("snapshot", 0), ("profile", 1), ("live_end", 2)]
        assert ear.code == Code.ENDED
    assert register.why == [(ROOM, "1")], "the second is closed by then"


@pytest.mark.gen_test(timeout=10)
async def test_whoever_looks_gone_but_may_listen_all_the_same_stays(scene: Scene) -> None:
    """A trouble of ours, or a place taken a moment ago, is no reason to close."""
    ear = await scene.join(Ear("1", number=1))
    register = Register({})
    await scene.hub.check_places(register.standing, register.why_not)
    assert (register.why, ear.code) == ([(ROOM, "1")], None)


@pytest.mark.gen_test(timeout=10)
async def test_a_look_that_fails_closes_nobody_and_the_next_one_works(scene: Scene) -> None:
    ear = await scene.join(Ear("1", number=1))
    register = Register({}, {"1": Code.NOT_A_MEMBER})
    register.down = True
    with pytest.raises(ConnectionError):
        await scene.hub.check_places(register.standing, register.why_not)
    scene.happen()
    assert (ear.code, ear.words) == (None, [("snapshot", 0), *events(1, 1)])
    register.down = False
    await scene.hub.check_places(register.standing, register.why_not)
    assert ear.code == Code.NOT_A_MEMBER


@pytest.mark.gen_test(timeout=10)
async def test_whoever_comes_back_during_the_look_is_not_closed_by_it(scene: Scene) -> None:
    """The reason belongs to the socket that was looked at, not to the person's next one."""
    older, newer = await scene.join(Ear("1", number=1)), Ear("1", number=2)
    seen: Look = await scene.stored.look()

    async def look() -> Look:
        return seen

    joining: list[asyncio.Task[Ear]] = []
    register = Register({}, {"1": Code.NOT_A_MEMBER})
    register.meanwhile = lambda: joining.append(asyncio.ensure_future(scene.join(newer, look=look)))
    why_not = register.why_not

    async def slowly(live_id: int, user_id: str) -> Code | None:
        code = await why_not(live_id, user_id)
        await joining[0]
        return code

    await scene.hub.check_places(register.standing, slowly)
    assert (older.code, newer.code) == (Code.REPLACED, None)


@pytest.mark.gen_test(timeout=20)
async def test_many_places_are_compared_some_at_once(scene: Scene) -> None:
    names = [f"{n:04d}" for n in range(AT_ONCE + 3)]
    for name in names:
        await scene.join(Ear(name, number=1))
    register = Register(dict.fromkeys(names, standing()))
    await scene.hub.check_places(register.standing, register.why_not)
    assert [len(asked) for asked in register.asked] == [AT_ONCE, 3]
    assert register.why == []


@pytest.mark.gen_test(timeout=10)
async def test_a_look_finds_the_sockets_that_are_not_noted_as_served_here(scene: Scene) -> None:
    """They are right where they are, and only the database does not know."""
    people: dict[str, str | None] = {"noted": HERE, "nobodys": None, "elsewhere": "two"}
    ears = {who: await scene.join(Ear(who, number=1)) for who in people}
    register = Register({who: standing(process=process) for who, process in people.items()})
    strays = await scene.hub.check_places(register.standing, register.why_not, HERE)
    assert sorted(outbox.user_id for _, outbox in strays) == ["elsewhere", "nobodys"]
    assert all(channel.live_id == ROOM for channel, _ in strays)
    assert [ear.code for ear in ears.values()] == [None] * 3


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_closed_by_the_look_is_no_stray(scene: Scene) -> None:
    for who in ("older", "left"):
        await scene.join(Ear(who, number=1))
    register = Register({"older": standing(2, "two")}, {"left": Code.NOT_A_MEMBER})
    assert await scene.hub.check_places(register.standing, register.why_not, HERE) == []


# ---- words that come late


@pytest.mark.gen_test(timeout=10)
async def test_a_late_word_of_leaving_closes_no_newer_socket(scene: Scene) -> None:
    """They left, and were back before the word had come."""
    ear = await scene.join(Ear("1", number=5))
    scene.hub.hear(ShownOut("1", ROOM, Code.NOT_A_MEMBER, 4))
    assert ear.code is None
    scene.hub.hear(ShownOut("1", ROOM, Code.NOT_A_MEMBER, 5))
    assert ear.code == Code.NOT_A_MEMBER


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_put_out_is_closed_whatever_the_number(scene: Scene) -> None:
    ear = await scene.join(Ear("1", number=5))
    scene.hub.show_out(ROOM, "1", 4, barred=True)
    assert ear.code == Code.PUT_OUT


@pytest.mark.gen_test(timeout=10)
async def test_of_two_sockets_that_join_side_by_side_the_one_shown_out_does_not_get_in(
    scene: Scene,
) -> None:
    """Each has read the room by itself: what the second one reads says nothing of the first."""
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slow_look() -> Look:
        if not looked.is_set():
            looked.set()
            seen = await scene.stored.look()
            await go_on.wait()
            return seen
        raise NotYourRoom

    first = asyncio.ensure_future(scene.join(Ear("1", number=5), look=slow_look))
    await looked.wait()
    scene.hub.show_out(ROOM, "1", 5)
    await scene.join(Ear("1", number=6))
    go_on.set()
    with pytest.raises(NotYourRoom):
        await first


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_overtaken_while_joining_is_so_whatever_is_said_of_older_ones(
    scene: Scene,
) -> None:
    go_on = asyncio.Event()

    async def slow_look() -> Look:
        seen = await scene.stored.look()
        await go_on.wait()
        return seen

    ear = Ear("1", number=5)
    slow = asyncio.ensure_future(scene.join(ear, look=slow_look))
    while not scene.hub.channels:
        await asyncio.sleep(0)
    scene.hub.hear(Arrived(ROOM, "a", "1", 7))
    scene.hub.show_out(ROOM, "1", 3)
    go_on.set()
    await slow
    assert ear.code == Code.REPLACED


@pytest.mark.gen_test(timeout=10)
async def test_whoever_leaves_and_comes_back_while_another_joins_keeps_the_new_socket(
    scene: Scene,
) -> None:
    """What was heard of the old socket while somebody joins slowly says nothing of the new one."""
    go_on = asyncio.Event()

    async def slow_look() -> Look:
        await go_on.wait()
        return await scene.stored.look()

    slow = asyncio.ensure_future(scene.join(Ear("9", number=1), look=slow_look))
    while not scene.hub.channels:
        await asyncio.sleep(0)
    await scene.join(Ear("1", number=5))
    scene.hub.show_out(ROOM, "1", 5)
    again = await scene.join(Ear("1", number=6))
    go_on.set()
    await slow
    assert again.code is None
    assert scene.hub.sockets == 2
