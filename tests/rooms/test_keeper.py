import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rooms import keeper as module
from rooms.events import Numbered
from rooms.keeper import Also, Keeper, Raced
from rooms.locks import Locks
from rooms.people import Member, Person
from rooms.refusals import (
    HostIsLive,
    NoSuchRoom,
    NotHost,
    NotLive,
    PutOut,
    SeatTaken,
    TryAgain,
)
from rooms.room import Room, Seat
from tests.rooms.cast import ANNA, BERT, CARL, HOST, NOW
from tests.rooms.memory import Memory

gen_test = pytest.mark.gen_test(timeout=20)
SECOND_HOST = Person("20000000", "ming", "https://faces/ming", 1)


class Diary:
    """Everything that was saved and told, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def tell(self, live_id: int, told: Sequence[Numbered]) -> None:
        self.lines.append(("tell", live_id, *((event.seq, event.type) for event in told)))

    def stir(self, live_id: int) -> None:
        self.lines.append(("stir", live_id))

    def show_out(self, live_id: int, user_id: str, number: int, *, barred: bool) -> None:
        self.lines.append(("show_out", live_id, user_id, number, *(["barred"] if barred else [])))


class Store(Memory):
    """Writes down what is saved; loses the next `races`, in each of which `rival` was first.

    What stands in `meanwhile` happens before the next write, one thing each, and may let it win.
    """

    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self.diary = diary
        self.races = 0
        self.rival = lambda: None
        self.meanwhile: list[Callable[[], None]] = []
        self.loads = 0

    async def load(self, live_id: int, people: Sequence[str] = ()) -> Room | None:
        self.loads += 1
        return await super().load(live_id, people)

    async def save(self, room: Room, told: Sequence[Numbered], also: Also | None) -> None:
        await asyncio.sleep(0)
        if self.races:
            self.races -= 1
            self.rival()
            raise Raced
        if self.meanwhile:
            self.meanwhile.pop(0)()
        await super().save(room, told, also)
        self.diary.lines.append(("save", room.live_id, *(event.seq for event in told)))

    async def clear(self, live_id: int, epoch: str) -> None:
        await super().clear(live_id, epoch)
        self.diary.lines.append(("clear", live_id, epoch))

    def change(self, live_id: int, rule, *people: str) -> None:
        """What another process does meanwhile."""
        room = self.read(live_id, people)
        rule(room)
        self.write(room, room.numbered(NOW))


class House:
    """A keeper, what it keeps, and two rooms that are live: 1 of HOST, 2 of SECOND_HOST."""

    def __init__(self, *inside: Person, patience: float = 5.0) -> None:
        self.diary = Diary()
        self.store = Store(self.diary)
        self.keeper = Keeper(self.store, self.diary, Locks(patience))
        self.open(1, HOST)
        self.open(2, SECOND_HOST)
        for person in inside:
            self.store.change(1, come_in(person), person.user_id)

    def open(self, live_id: int, host: Person) -> None:
        self.store.add(Room(live_id, f"g{live_id}", Seat(host, "")))
        self.store.change(live_id, lambda room: room.open(host, "e", "s", NOW))

    def room(self, live_id: int = 1) -> Room:
        room = self.store.read(live_id, list(self.store.places))
        assert room is not None
        return room

    def lines(self) -> list[tuple[Any, ...]]:
        """What has happened since this was last asked."""
        lines, self.diary.lines = self.diary.lines, []
        return lines


def come_in(person: Person):
    return lambda room: room.enter(person, NOW)


def apply(person: Person):
    return lambda room: room.apply(person, module.now_ms(), 600)


# ---- change


@gen_test
async def test_a_change_is_saved_first_and_then_told() -> None:
    house = House(BERT)
    await house.keeper.change(1, apply(BERT), BERT.user_id)
    assert house.lines() == [("save", 1, 1), ("tell", 1, (1, "micro_apply")), ("stir", 1)]


@gen_test
async def test_the_answer_is_the_rules() -> None:
    house = House(BERT)
    seat = await house.keeper.change(
        1, lambda room: room.accept(BERT, "open", "s", "u"), BERT.user_id
    )
    assert seat == Seat(BERT, "s") == house.room().male


@gen_test
async def test_a_refusal_saves_and_tells_nothing() -> None:
    house = House(BERT)
    with pytest.raises(NotHost):
        await house.keeper.change(1, lambda room: room.end(BERT.user_id))
    assert house.lines() == []
    assert house.room().live


@gen_test
async def test_where_nothing_changes_nothing_is_saved() -> None:
    house = House(BERT)
    assert await house.keeper.change(1, lambda room: room.enter(BERT, NOW), BERT.user_id)
    assert house.lines() == []


@gen_test
async def test_a_change_of_places_alone_stirs() -> None:
    house = House(BERT)
    await house.keeper.change(1, lambda room: room.leave(BERT.user_id), BERT.user_id)
    assert house.lines() == [
        ("save", 1),
        ("tell", 1),
        ("stir", 1),
        ("show_out", 1, BERT.user_id, 0),
    ]
    assert BERT.user_id not in house.store.places


@gen_test
async def test_a_change_that_moves_nobody_stirs_nothing() -> None:
    house = House()
    renamed = Person(HOST.user_id, "new")
    await house.keeper.change(1, lambda room: room.update_profile(renamed))
    assert house.lines() == [("save", 1, 1), ("tell", 1, (1, "profile"))]


@gen_test
async def test_what_a_rule_goes_by_is_learnt_anew_whenever_the_room_is_read_anew() -> None:
    """Somebody else was faster with later news: what this one brings is not told after it."""
    house, names = House(), iter(["old", "new"])
    person = Person(HOST.user_id, "")

    async def learn() -> None:
        nonlocal person
        person = Person(HOST.user_id, next(names))

    renamed = Person(HOST.user_id, "new")
    house.store.meanwhile = [lambda: house.store.change(1, lambda it: it.update_profile(renamed))]
    await house.keeper.change(1, lambda room: room.update_profile(person), learn=learn)
    assert house.lines() == [], "by then it is so already"
    assert house.room().name == "new"


@gen_test
async def test_there_is_no_changing_and_no_looking_at_a_room_that_does_not_exist() -> None:
    house = House()
    for action in (house.keeper.change(9, lambda room: None), house.keeper.look(9)):
        with pytest.raises(NoSuchRoom):
            await action


@gen_test
async def test_whatever_is_due_expires_before_the_rule_is_asked() -> None:
    house = House(BERT, CARL)
    house.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    await house.keeper.change(1, apply(CARL), CARL.user_id)
    assert ("tell", 1, (2, "micro_refuse"), (3, "micro_apply")) in house.lines()
    assert list(house.room().applications) == [CARL.user_id]


@gen_test
async def test_a_change_of_nothing_else_expires_what_is_due_once() -> None:
    house = House(BERT)
    house.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    for _ in range(2):
        await house.keeper.change(1, lambda _room: None)
    assert house.lines() == [("save", 1, 2), ("tell", 1, (2, "micro_refuse")), ("stir", 1)]
    assert house.room().role_of(BERT.user_id) == "viewer"


@gen_test
async def test_what_is_written_besides_sees_the_room_as_it_is_saved() -> None:
    house, seen = House(BERT), []

    async def also(tx: Any, room: Room) -> None:
        seen.append((tx, room.version + len(room.events)))

    await house.keeper.change(1, apply(BERT), BERT.user_id, also=also)
    assert seen == [("transaction", 1)]


@gen_test
async def test_nothing_is_written_besides_a_rule_that_says_nothing_while_others_expire() -> None:
    house, seen = House(BERT), []
    house.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)

    async def also(tx: Any, room: Room) -> None:
        seen.append(room)

    assert await house.keeper.change(1, lambda room: False, also=also) is False
    assert house.lines()[0] == ("save", 1, 2)
    assert seen == []


@gen_test
async def test_when_the_writing_besides_fails_nothing_is_told() -> None:
    house = House(BERT)

    async def also(tx: Any, room: Room) -> None:
        raise NotHost

    with pytest.raises(NotHost):
        await house.keeper.change(1, apply(BERT), BERT.user_id, also=also)
    assert house.lines() == []


# ---- races


@gen_test
async def test_whoever_loses_a_race_decides_again_on_the_new_state() -> None:
    house = House(BERT, CARL)

    def carl_sits() -> None:
        house.store.change(1, lambda room: room.accept(CARL, "open", "c", ""), CARL.user_id)

    house.store.races, house.store.rival = 1, carl_sits
    with pytest.raises(SeatTaken):
        await house.keeper.change(1, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    assert house.lines() == []
    assert house.room().male == Seat(CARL, "c")


@gen_test
async def test_the_ears_hear_once_of_a_change_that_was_tried_three_times() -> None:
    house = House(BERT)
    house.store.races = 2
    await house.keeper.change(1, apply(BERT), BERT.user_id)
    assert house.lines() == [("save", 1, 1), ("tell", 1, (1, "micro_apply")), ("stir", 1)]
    assert house.store.loads == 3


@gen_test
async def test_whoever_loses_every_race_is_asked_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    house = House(BERT)
    house.store.races = 10**6
    with pytest.raises(TryAgain):
        await house.keeper.change(1, apply(BERT), BERT.user_id)
    assert house.store.loads > 1
    assert house.lines() == []


@gen_test
async def test_two_changes_of_a_room_at_once_follow_each_other_and_do_not_race() -> None:
    house = House(BERT, CARL)
    await asyncio.gather(
        *(house.keeper.change(1, apply(person), person.user_id) for person in (BERT, CARL))
    )
    assert [line[:3] for line in house.lines() if line[0] == "save"] == [
        ("save", 1, 1),
        ("save", 1, 2),
    ]
    assert house.store.loads == 2


@gen_test
async def test_a_room_that_is_held_for_ever_is_asked_for_again_later() -> None:
    house = House(BERT, patience=0.01)
    async with house.keeper._locks.hold("room:1"):
        with pytest.raises(TryAgain):
            await house.keeper.change(1, apply(BERT), BERT.user_id)
        await house.keeper.change(2, lambda room: room.enter(CARL, NOW), CARL.user_id)
    assert house.store.loads == 1


# ---- enter, take_out


@gen_test
async def test_entering_answers_the_room_with_oneself_in_it() -> None:
    house = House()
    room = await house.keeper.enter(1, BERT)
    assert room.role_of(BERT.user_id) == "viewer"
    assert house.lines() == [("save", 1), ("tell", 1), ("stir", 1)]
    await house.keeper.enter(1, BERT)
    assert house.lines() == []


@gen_test
async def test_entering_another_room_takes_a_guest_off_the_mic_of_the_first() -> None:
    house = House(BERT)
    house.store.change(1, lambda room: room.accept(BERT, "open", "s", ""), BERT.user_id)
    await house.keeper.enter(2, BERT)
    assert house.lines() == [
        ("save", 1, 2),
        ("tell", 1, (2, "micro_leave")),
        ("stir", 1),
        ("show_out", 1, BERT.user_id, 0),
        ("save", 2),
        ("tell", 2),
        ("stir", 2),
    ]
    assert house.room().male is None
    assert house.store.places[BERT.user_id].live_id == 2


@gen_test
async def test_nobody_leaves_a_room_for_one_that_they_cannot_enter() -> None:
    house = House(BERT)
    house.store.change(2, lambda room: room.close("host"))
    for live_id, why in ((2, NotLive), (9, NoSuchRoom)):
        with pytest.raises(why):
            await house.keeper.enter(live_id, BERT)
    assert house.room().role_of(BERT.user_id) == "viewer"
    assert house.lines() == []


@gen_test
async def test_a_host_does_not_walk_out_of_the_own_live() -> None:
    house = House()
    with pytest.raises(HostIsLive):
        await house.keeper.enter(2, HOST)
    assert house.lines() == []
    assert house.room().live


@gen_test
async def test_a_host_comes_back_as_the_host() -> None:
    house = House()
    assert (await house.keeper.enter(1, HOST)).role_of(HOST.user_id) == "host"
    assert house.lines() == []


@gen_test
async def test_a_place_left_over_from_a_live_that_ended_is_no_hindrance() -> None:
    house = House(BERT)
    house.store.change(1, lambda room: room.close("host"))
    for person in (BERT, HOST):
        await house.keeper.enter(2, person)
        assert house.store.places[person.user_id].live_id == 2


@gen_test
async def test_one_who_came_into_another_room_meanwhile_is_asked_to_try_again_at_once() -> None:
    house = House()
    house.store.races = 1
    house.store.rival = lambda: house.store.change(
        2, lambda room: room.enter(BERT, NOW), BERT.user_id
    )
    with pytest.raises(TryAgain):
        await house.keeper.enter(1, BERT)
    assert house.store.loads < 5
    assert house.store.places[BERT.user_id].live_id == 2
    assert (await house.keeper.enter(1, BERT)).role_of(BERT.user_id) == "viewer"


@gen_test
async def test_taking_a_host_out_ends_the_live_and_clears_the_places_of_it() -> None:
    house = House(BERT, ANNA)
    await house.keeper.take_out(HOST.user_id)
    assert house.lines() == [("save", 1, 1), ("tell", 1, (1, "live_end")), ("clear", 1, "e")]
    assert not house.room().live
    assert house.store.places.keys() == {SECOND_HOST.user_id}


@gen_test
async def test_taking_somebody_out_says_why() -> None:
    house = House(BERT)
    house.store.change(1, lambda room: room.accept(BERT, "open", "s", ""), BERT.user_id)
    heard: list[Any] = []
    house.diary.tell = lambda live_id, told: heard.extend(told)  # type: ignore[method-assign]
    await house.keeper.take_out(BERT.user_id, "banned")
    assert [(event.type, event.data["reason"]) for event in heard] == [("micro_leave", "banned")]


@gen_test
async def test_taking_out_somebody_who_is_nowhere_is_harmless() -> None:
    house = House()
    await house.keeper.take_out(BERT.user_id)
    assert house.lines() == []


@gen_test
async def test_somebody_may_stay_in_the_room_that_is_named() -> None:
    house = House(BERT)
    await house.keeper.take_out(BERT.user_id, but=1)
    assert BERT.user_id in house.store.places
    await house.keeper.take_out(BERT.user_id, but=2)
    assert BERT.user_id not in house.store.places


@gen_test
async def test_somebody_who_keeps_coming_in_elsewhere_is_followed_and_given_up_at_last() -> None:
    house = House(BERT)
    come_back = house.store.place_of

    async def place_of(user_id: str) -> Member | None:
        if user_id not in house.store.places:
            house.store.change(2, lambda room: room.enter(BERT, NOW), BERT.user_id)
        return await come_back(user_id)

    house.store.place_of = place_of  # type: ignore[method-assign]
    with pytest.raises(TryAgain):
        await house.keeper.take_out(BERT.user_id, "banned")
    assert BERT.user_id not in house.store.places


# ---- put out


def until() -> int:
    return module.now_ms() + 60_000


async def put_out(house: House, by: Person, person: Person) -> bool:
    ends, out = until(), person.user_id
    return await house.keeper.put_out(1, out, lambda room: room.put_out(by.user_id, out, ends))


@gen_test
async def test_a_guest_who_is_put_out_is_told_of_and_barred() -> None:
    house = House(BERT)
    house.store.change(1, lambda room: room.accept(BERT, "open", "s", ""), BERT.user_id)
    await put_out(house, HOST, BERT)
    assert house.lines() == [
        ("save", 1, 2),
        ("tell", 1, (2, "micro_leave")),
        ("stir", 1),
        ("show_out", 1, BERT.user_id, 0, "barred"),
    ]
    assert BERT.user_id not in house.store.places
    with pytest.raises(PutOut):
        await house.keeper.enter(1, BERT)
    assert house.lines() == []


@gen_test
async def test_whoever_is_put_out_without_being_there_is_barred_all_the_same() -> None:
    house = House()
    await put_out(house, HOST, BERT)
    said = house.lines()
    assert [line[:1] + line[4:] for line in said] == [("save",), ("tell",), ("show_out", "barred")]
    with pytest.raises(PutOut):
        await house.keeper.enter(1, BERT)


@gen_test
async def test_whoever_is_put_out_of_one_room_stays_in_another() -> None:
    house = House()
    await house.keeper.enter(2, BERT)
    house.lines()
    await put_out(house, HOST, BERT)
    assert [line[:2] for line in house.lines()] == [("save", 1), ("tell", 1), ("show_out", 1)]
    assert house.store.places[BERT.user_id].live_id == 2


@gen_test
async def test_putting_out_that_is_refused_puts_nobody_out() -> None:
    house = House(BERT, CARL)
    with pytest.raises(NotHost):
        await put_out(house, BERT, CARL)
    assert house.lines() == []
    assert house.room().role_of(CARL.user_id) == "viewer"


@gen_test
async def test_whoever_is_put_out_while_they_come_in_is_out_when_the_entry_is_written_last() -> (
    None
):
    house = House()
    house.store.meanwhile = [
        lambda: house.store.change(
            1, lambda room: room.put_out(HOST.user_id, BERT.user_id, until())
        )
    ]
    with pytest.raises(PutOut):
        await house.keeper.enter(1, BERT)
    assert BERT.user_id not in house.store.places
    assert house.lines()[-1] == ("show_out", 1, BERT.user_id, 0, "barred")


@gen_test
async def test_whoever_is_put_out_while_they_come_in_is_out_when_the_entry_is_written_first() -> (
    None
):
    house = House()
    house.store.meanwhile = [lambda: house.store.change(1, come_in(BERT), BERT.user_id)]
    await put_out(house, HOST, BERT)
    assert BERT.user_id not in house.store.places
    assert house.lines()[-1] == ("show_out", 1, BERT.user_id, 0, "barred")
    assert house.room().keeps_out(BERT.user_id, module.now_ms())


@gen_test
async def test_entry_and_putting_out_at_once_leave_nobody_inside_in_any_order() -> None:
    for order in range(2):
        house = House()
        acts = [
            house.keeper.enter(1, BERT),
            put_out(house, HOST, BERT),
        ]
        done = await asyncio.gather(*(acts[::-1] if order else acts), return_exceptions=True)
        assert all(isinstance(it, Room | PutOut | bool) for it in done)
        assert BERT.user_id not in house.store.places


@gen_test
async def test_somebody_who_was_here_already_is_not_looked_at_a_second_time() -> None:
    house = House(BERT)
    house.store.loads = 0
    await house.keeper.enter(1, BERT)
    assert house.store.loads == 2  # to check before they leave elsewhere, and to come in


@gen_test
async def test_one_who_is_taken_out_is_not_barred() -> None:
    house = House(BERT)
    await house.keeper.take_out(BERT.user_id, "banned")
    assert house.lines()[-1] == ("show_out", 1, BERT.user_id, 0)


@gen_test
async def test_the_ears_are_told_up_to_which_socket_somebody_is_out() -> None:
    """Such a word may come when they are back already, with a newer one."""
    house = House(BERT)
    house.store.places[BERT.user_id] = replace(house.store.places[BERT.user_id], socket=41)
    await house.keeper.change(1, lambda room: room.depart(BERT.user_id, "left"), BERT.user_id)
    assert house.lines()[-1] == ("show_out", 1, BERT.user_id, 41)


@gen_test
async def test_whoever_was_out_already_is_out_with_any_socket_from_before() -> None:
    """Sockets are numbered by the time: the word may come when they are back with a newer one."""
    house, before = House(), module.now_ms()
    await house.keeper.change(1, lambda room: room.depart(BERT.user_id, "left"), BERT.user_id)
    ((*line, number),) = house.lines()
    assert line == ["show_out", 1, BERT.user_id]
    assert before <= number <= module.now_ms()


@gen_test
async def test_putting_out_says_whether_they_were_on_mic() -> None:
    house = House(BERT, CARL)
    house.store.change(1, lambda room: room.accept(BERT, "open", "s", ""), BERT.user_id)
    assert await put_out(house, HOST, BERT) is True
    assert await put_out(house, HOST, CARL) is False
