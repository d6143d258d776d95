"""Gifts given by as many processes as a test wants, on a real MongoDB: each happens once, what
moves is in the book, and the room hears of it."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from money.book import Answer
from money.gift import Present
from money.refusals import InsufficientGold, RequestIdReused
from rooms.events import Numbered
from rooms.people import Person
from rooms.refusals import NoSuchUser
from storage.database import Document
from storage.reckoning import Reckoning
from tests.rooms.cast import HOST, NOW
from tests.storage import conftest as storage
from tests.storage.conftest import ROSE, House, Process, rose
from tests.storage.test_rooms import change, load, opened, save

gen_test = pytest.mark.gen_test(timeout=60)
in_a_room_or_not = pytest.mark.parametrize("together", [False, True], ids=["apart", "in a room"])
commands, database, house = storage.commands, storage.database, storage.house
REPEAT_MS = 3_600_000


class Scene:
    """People, alone or in a live together, and the processes that give for them."""

    def __init__(self, house: House, people: list[str], live_id: int = 0) -> None:
        self.house = house
        self.people = people
        self.live_id = live_id
        self.process = Process(house)

    def rose(self, request_id: str = "", **more: Any) -> Present:
        """From the first of them to the second."""
        return rose(self.people[0], self.people[1], request_id, **more)

    def processes(self, n: int) -> list[Process]:
        return [Process(self.house) for _ in range(n)]

    async def together(self, *presents: Present) -> list[Answer | BaseException]:
        """Give these as they queue up in one process."""
        return await self.process.together(self.live_id, *presents)

    async def purses(self) -> list[tuple[int, int]]:
        return [await self.house.purse(who) for who in self.people]

    async def log(self) -> list[Numbered]:
        log = await self.house.rooms.log_since(self.live_id, "e1", 0)
        assert log is not None
        return log

    async def heard(self) -> list[str]:
        return [event.type for event in await self.log()]

    async def leave(self, user_id: str) -> None:
        """By another process."""
        await change(self.house, self.live_id, lambda room: room.leave(user_id), user_id)

    async def end(self) -> None:
        """By another process."""
        await change(self.house, self.live_id, lambda room: room.close("host"), HOST.user_id)

    async def check(self) -> None:
        """The book, the purses, the events and the rankings say the same."""
        problems = await Reckoning(self.house.database).problems()
        assert not [str(problem) for problem in problems]


async def a_scene(house: House, *purses: tuple[int, int], together: bool = True) -> Scene:
    people = await house.people(*purses)
    live_id = await opened(house, *map(Person, people)) if together else 0
    return Scene(house, people, live_id)


def kinds(done: list[Any]) -> dict[type, int]:
    return Counter(type(it) for it in done)


def places(entries: list[Document]) -> list[tuple[Any, ...]]:
    """The events that the entries name."""
    return [(entry.get("live_id"), entry.get("epoch"), entry.get("seq")) for entry in entries]


NOWHERE = (None, None, None)


# ---- a gift


@in_a_room_or_not
@gen_test
async def test_a_gift_moves_gold_and_is_written_down(house: House, together: bool) -> None:
    scene = await a_scene(house, (15, 3), (0, 0), together=together)
    anna, bert = scene.people
    answer = await scene.process.give(rose(anna, bert, "r"))
    assert answer == {"status": "success", "gold": 5, "income": 3}
    assert await scene.purses() == [(5, 3), (0, 5)]
    (entry,) = await house.entries()
    assert (entry["_id"], entry["kind"], entry["by"]) == (f"gift:{anna}:r", "gift", anna)
    assert entry["lines"][0] == {"account": f"user:{anna}", "unit": "gold", "amount": -10}
    assert entry["content"] == {"to": bert, "gift_id": 1, "num": 1}
    assert entry["answer"] == answer
    assert places([entry]) == [(scene.live_id, "e1", 1) if together else NOWHERE]
    await scene.check()


@gen_test
async def test_the_room_sees_who_gives_what_to_whom(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    anna, bert = scene.people
    await house.users.update(anna, nickname="Anna", face_url="https://faces/a", gender=2)
    await scene.process.give(rose(anna, bert, "r", num=3))
    (event,) = await scene.log()
    assert event.data == {
        "from": Person(anna, "Anna", "https://faces/a", 2).face(),
        "to": Person(bert).face(),
        "gift": ROSE,
        "num": 3,
        "gold": 30,
        "request_id": "r",
    }
    assert scene.process.told == [(scene.live_id, 1, "gift")]


@in_a_room_or_not
@gen_test
async def test_gold_goes_first_and_income_after_it(house: House, together: bool) -> None:
    scene = await a_scene(house, (4, 10), (0, 0), together=together)
    answer = await scene.process.give(scene.rose())
    assert answer == {"status": "success", "gold": 0, "income": 4}
    assert await scene.purses() == [(0, 4), (0, 5)]
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_a_gift_that_costs_nothing_is_given_all_the_same(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (0, 0), (0, 0), together=together)
    answer = await scene.process.give(scene.rose("r", gold=0))
    assert answer == {"status": "success", "gold": 0, "income": 0}
    assert await scene.process.give(scene.rose("r", gold=0)) == answer
    assert len(await house.entries()) == 1
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_nothing_of_a_gift_that_cannot_be_paid_stays(house: House, together: bool) -> None:
    scene = await a_scene(house, (9, 0), (0, 0), together=together)
    with pytest.raises(InsufficientGold):
        await scene.process.give(scene.rose("r"))
    assert await scene.purses() == [(9, 0), (0, 0)]
    assert await house.entries() == []
    assert not together or await scene.heard() == []


@in_a_room_or_not
@gen_test
async def test_a_refusal_is_not_remembered(house: House, together: bool) -> None:
    scene = await a_scene(house, (9, 0), (0, 0), together=together)
    anna, bert = scene.people
    with pytest.raises(InsufficientGold):
        await scene.process.give(rose(anna, bert, "r"))
    await scene.process.teller.grant(anna, 1, "test", "g", "ops")
    assert (await scene.process.give(rose(anna, bert, "r")))["gold"] == 0
    await scene.check()


@gen_test
async def test_nobody_gives_to_nobody(house: House) -> None:
    scene = await a_scene(house, (100, 0), together=False)
    (anna,) = scene.people
    for present in (rose(anna, "nobody"), rose("nobody", anna)):
        with pytest.raises(NoSuchUser):
            await scene.process.give(present)
    assert await scene.purses() == [(100, 0)]
    assert await house.entries() == []


# ---- once


@in_a_room_or_not
@gen_test
async def test_the_same_request_is_answered_the_same_for_ever(house: House, together: bool) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=together)
    first = await scene.process.give(scene.rose("r"))
    await scene.process.give(scene.rose("s"))
    for present in (scene.rose("r"), scene.rose("r", gold=99)):
        assert await scene.process.give(present) == first, "a new price is no other request"
    assert await scene.purses() == [(80, 0), (0, 10)]
    assert not together or await scene.heard() == ["gift"] * 2


@in_a_room_or_not
@pytest.mark.parametrize("other", [{"num": 2}, {"gift_id": 2}])
@gen_test
async def test_the_same_request_id_for_something_else_is_refused(
    house: House, together: bool, other: dict[str, int]
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=together)
    await scene.process.give(scene.rose("r"))
    with pytest.raises(RequestIdReused):
        await scene.process.give(scene.rose("r", **other))
    assert await scene.purses() == [(90, 0), (0, 5)]


@gen_test
async def test_request_ids_are_each_senders_own(house: House) -> None:
    scene = await a_scene(house, (100, 0), (100, 0))
    anna, bert = scene.people
    await scene.process.give(rose(anna, bert, "r"))
    await scene.process.give(rose(bert, anna, "r"))
    assert await scene.purses() == [(90, 5), (90, 5)]


@gen_test
async def test_what_was_given_can_be_asked_for(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    anna, bert = scene.people
    giving, present = scene.process.giving, rose(anna, bert, "r")
    assert await giving.given(present) is None
    answer = await scene.process.give(present)
    assert await giving.given(rose(anna, bert, "r")) == answer
    for other in (rose(anna, bert), rose(anna, bert, repeat_ms=REPEAT_MS), rose(bert, anna, "r")):
        assert await giving.given(other) is None
    with pytest.raises(RequestIdReused):
        await giving.given(rose(anna, bert, "r", num=3))


@in_a_room_or_not
@gen_test
async def test_one_request_in_many_processes_at_once_has_one_effect_and_equal_answers(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=together)
    answers = await asyncio.gather(
        *(process.give(scene.rose("same")) for process in scene.processes(8))
    )
    assert answers == [{"status": "success", "gold": 90, "income": 0}] * 8
    assert len(await house.entries()) == 1
    assert await scene.purses() == [(90, 0), (0, 5)]
    assert not together or await scene.heard() == ["gift"]
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_one_request_that_empties_the_purse_is_answered_equally_in_many_processes(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (10, 0), (0, 0), together=together)
    answers = await asyncio.gather(
        *(process.give(scene.rose("same")) for process in scene.processes(5))
    )
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 5


@in_a_room_or_not
@gen_test
async def test_one_id_for_two_things_at_once_is_used_for_one_of_them(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), (0, 0), together=together)
    anna, *receivers = scene.people
    done = await asyncio.gather(
        *(
            process.give(rose(anna, receiver, "same"))
            for process, receiver in zip(scene.processes(2), receivers, strict=True)
        ),
        return_exceptions=True,
    )
    assert kinds(done) == {dict: 1, RequestIdReused: 1}
    assert await house.purse(anna) == (90, 0)
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_an_identical_gift_within_the_window_counts_as_a_retry(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=together)
    answers = await asyncio.gather(
        *(process.give(scene.rose(repeat_ms=REPEAT_MS)) for process in scene.processes(5))
    )
    assert answers == [{"status": "success", "gold": 90, "income": 0}] * 5
    assert await scene.purses() == [(90, 0), (0, 5)]
    assert (await scene.process.give(scene.rose(num=2, repeat_ms=REPEAT_MS)))["gold"] == 70
    await scene.check()


@gen_test
async def test_the_window_closes(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=False)
    await scene.process.give(scene.rose(repeat_ms=60_000))
    (entry,) = await house.entries()
    long_ago = entry["at"].replace(year=2000)
    await house.database.collection("ledger").update_one(
        {"_id": entry["_id"]}, {"$set": {"at": long_ago}}
    )
    assert (await scene.process.give(scene.rose(repeat_ms=60_000)))["gold"] == 80


@gen_test
async def test_without_a_window_every_gift_is_a_new_one(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    golds = [(await scene.process.give(scene.rose()))["gold"] for _ in range(2)]
    assert golds == [90, 80]


# ---- many at once


@in_a_room_or_not
@gen_test
async def test_concurrent_gifts_from_one_purse_never_go_below_zero(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (40, 15), (0, 0), together=together)
    done = await asyncio.gather(
        *(process.give(scene.rose()) for process in scene.processes(8)),
        return_exceptions=True,
    )
    assert kinds(done) == {dict: 5, InsufficientGold: 3}
    assert await scene.purses() == [(0, 5), (0, 25)]
    assert len(await house.entries()) == 5
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_gifts_between_two_both_ways_at_once_keep_every_unit(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (100, 0), (100, 0), together=together)
    anna, bert = scene.people
    pairs = [(anna, bert), (bert, anna)] * 4
    await asyncio.gather(
        *(p.give(rose(*pair)) for p, pair in zip(scene.processes(8), pairs, strict=True))
    )
    assert await scene.purses() == [(60, 20), (60, 20)]
    await scene.check()


@gen_test
async def test_two_processes_in_one_hot_room_give_everything(house: House) -> None:
    scene = await a_scene(house, *[(100, 0)] * 5)
    pairs = [(one, two) for one in scene.people for two in scene.people if one != two]
    processes = scene.processes(2)
    answers = await asyncio.gather(
        *(p.give(rose(*pair, f"{n}")) for p in processes for n, pair in enumerate(pairs))
    )
    assert len(answers) == 40
    again = await asyncio.gather(
        *(scene.process.give(rose(*pair, f"{n}")) for n, pair in enumerate(pairs))
    )
    assert again == answers[:20] == answers[20:]
    assert await scene.purses() == [(60, 20)] * 5
    assert await scene.heard() == ["gift"] * 20
    await scene.check()


@gen_test
async def test_gifts_of_two_processes_in_one_hot_room_are_told_once_each(house: House) -> None:
    scene = await a_scene(house, (200, 0), (200, 0), (0, 0))
    anna, bert, carl = scene.people
    one, two = scene.processes(2)
    answers = await asyncio.gather(
        *(one.give(rose(anna, carl)) for _ in range(20)),
        *(two.give(rose(bert, carl)) for _ in range(20)),
    )
    assert kinds(answers) == {dict: 40}
    assert await scene.purses() == [(0, 0), (0, 0), (0, 200)]
    told = sorted([*one.told, *two.told])
    assert told == [(scene.live_id, seq, "gift") for seq in range(1, 41)]
    assert sorted(places(await house.entries())) == [
        (scene.live_id, "e1", seq) for seq in range(1, 41)
    ]
    await scene.check()


# ---- what queues up behind a room's lock


@gen_test
async def test_gifts_that_queue_up_go_in_one_transaction(house: House, commands: list[str]) -> None:
    scene = await a_scene(house, *[(100, 0)] * 4)
    *senders, host = scene.people
    presents = [rose(sender, host, f"{n}") for n in range(4) for sender in senders]
    commands.clear()
    done = await scene.together(*presents)
    assert kinds(done) == {dict: 12}
    assert commands.count("commitTransaction") == 2, "of the first, and of all behind it"
    keys = [present.key for present in presents]
    assert scene.process.trays.written == [keys[:1], keys[1:]]
    await scene.check()


@gen_test
async def test_no_more_than_so_many_gifts_go_at_a_time(house: House, commands: list[str]) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    scene.process = Process(house, most=3)
    commands.clear()
    assert kinds(await scene.together(*(scene.rose() for _ in range(8)))) == {dict: 8}
    assert [len(keys) for keys in scene.process.trays.written] == [1, 3, 3, 1]
    assert commands.count("commitTransaction") == 4
    await scene.check()


@gen_test
async def test_every_gift_has_one_event_in_order_and_its_entry_names_it(house: House) -> None:
    scene = await a_scene(house, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = scene.people
    pairs = [(anna, carl), (bert, carl), (anna, bert), (bert, anna), (anna, carl)]
    answers = await scene.together(*(rose(*pair, f"{n}") for n, pair in enumerate(pairs)))
    assert [it["gold"] for it in answers if isinstance(it, dict)] == [90, 90, 80, 80, 70]
    log = await scene.log()
    assert [(e.data["from"]["user_id"], e.data["to"]["user_id"]) for e in log] == pairs
    assert [event.data["request_id"] for event in log] == [*"01234"]
    entries = await house.entries()
    assert [entry["_id"].rpartition(":")[2] for entry in entries] == [*"01234"]
    assert places(entries) == [(scene.live_id, "e1", seq) for seq in range(1, 6)]
    assert scene.process.told == [(scene.live_id, seq, "gift") for seq in range(1, 6)]
    await scene.check()


@gen_test
async def test_a_poor_sender_spoils_nothing_for_the_rest(house: House) -> None:
    scene = await a_scene(house, (100, 0), (9, 0), (0, 0))
    anna, poor, carl = scene.people
    senders = [anna, anna, poor, anna, poor]
    done = await scene.together(*(rose(sender, carl) for sender in senders))
    assert [type(it) for it in done] == [dict, dict, InsufficientGold, dict, InsufficientGold]
    assert await scene.purses() == [(70, 0), (9, 0), (0, 15)]
    assert places(await house.entries()) == [(scene.live_id, "e1", seq) for seq in (1, 2, 3)]
    await scene.check()


@gen_test
async def test_what_the_ones_before_have_brought_can_be_given(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), (0, 0))
    anna, bert, carl = scene.people
    done = await scene.together(
        rose(anna, carl), rose(bert, carl), rose(anna, bert, num=2), rose(bert, carl)
    )
    assert [type(it) for it in done] == [dict, InsufficientGold, dict, dict]
    assert await scene.purses() == [(70, 0), (0, 0), (0, 10)]
    await scene.check()


@gen_test
async def test_one_request_several_times_among_them_has_one_effect_and_equal_answers(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    names = ["a", "b", "b", "c", "b", "a"]
    answers = await scene.together(*(scene.rose(name) for name in names))
    golds = {"a": 90, "b": 80, "c": 70}
    assert answers == [{"status": "success", "gold": golds[n], "income": 0} for n in names]
    assert await scene.heard() == ["gift"] * 3
    assert await scene.purses() == [(70, 0), (0, 15)]
    await scene.check()


@gen_test
async def test_identical_gifts_among_them_count_as_retries_within_the_window(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    numbers = [1, 2, 1, 2, 2]
    answers = await scene.together(*(scene.rose(num=num, repeat_ms=REPEAT_MS) for num in numbers))
    golds = {1: 90, 2: 70}
    assert answers == [{"status": "success", "gold": golds[n], "income": 0} for n in numbers]
    assert await scene.heard() == ["gift"] * 2
    await scene.check()


@gen_test
async def test_a_request_id_for_something_else_among_them_is_refused_and_no_other_one(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    wishes = [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("c", 1), ("b", 1)]
    done = await scene.together(*(scene.rose(name, num=num) for name, num in wishes))
    refused = [isinstance(it, RequestIdReused) for it in done]
    assert refused == [False, False, True, True, False, False]
    assert done[1] == done[5]
    assert await scene.purses() == [(70, 0), (0, 15)]
    await scene.check()


@gen_test
async def test_whoever_has_left_gives_without_an_event_and_the_rest_with_one(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = scene.people
    presents = [rose(anna, carl, "1"), rose(bert, carl, "2"), rose(anna, carl, "3")]
    async with scene.process.busy(scene.live_id):
        giving = await scene.process.come(scene.live_id, *presents)
        await scene.leave(bert)
    assert kinds(await asyncio.gather(*giving)) == {dict: 3}
    assert await scene.purses() == [(80, 0), (90, 0), (0, 15)]
    heard_of = {entry["_id"]: entry.get("seq") for entry in await house.entries()}
    assert heard_of == {presents[0].key: 1, presents[2].key: 2, presents[1].key: None}
    await scene.check()


@gen_test
async def test_a_request_of_somebody_who_has_left_happens_once_however_often_it_came(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    anna, bert = scene.people
    async with scene.process.busy(scene.live_id):
        giving = await scene.process.come(scene.live_id, *[rose(anna, bert, "r")] * 4)
        await scene.leave(anna)
    assert await asyncio.gather(*giving) == [{"status": "success", "gold": 90, "income": 0}] * 4
    assert places(await house.entries()) == [NOWHERE]
    await scene.check()


@gen_test
async def test_when_the_room_ends_meanwhile_all_is_given_without_an_event(house: House) -> None:
    scene = await a_scene(house, (100, 0), (100, 0), (0, 0))
    anna, bert, carl = scene.people
    presents = [rose(sender, carl) for sender in (anna, bert, anna, bert)]
    async with scene.process.busy(scene.live_id):
        giving = await scene.process.come(scene.live_id, *presents)
        await scene.end()
    assert kinds(await asyncio.gather(*giving)) == {dict: 4}
    assert await scene.purses() == [(80, 0), (80, 0), (0, 20)]
    assert places(await house.entries()) == [NOWHERE] * 4
    assert await scene.heard() == ["live_end"]
    await scene.check()


@gen_test
async def test_when_the_room_ends_while_gifts_are_written_nothing_is_heard_after_the_end(
    house: House,
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    scene.process.trays.meanwhile = [scene.end]
    done = await scene.together(*(scene.rose() for _ in range(3)))
    assert kinds(done) == {dict: 3}
    assert await scene.heard() == ["live_end"]
    assert places(await house.entries()) == [NOWHERE] * 3
    await scene.check()


@gen_test
async def test_gifts_that_race_the_end_are_heard_before_it_or_not_at_all(house: House) -> None:
    scene = await a_scene(house, (200, 0), (0, 0))
    one, two = scene.processes(2)
    ending = await load(house, scene.live_id, HOST.user_id)
    ending.close("host")
    done = await asyncio.gather(
        *(process.give(scene.rose()) for process in (one, two) for _ in range(4)),
        save(house, ending, NOW),
        return_exceptions=True,
    )
    assert kinds(done[:8]) == {dict: 8}
    log, entries = await scene.heard(), await house.entries()
    gifts = log.count("gift")
    assert log in (["gift"] * 8, [*["gift"] * gifts, "live_end"])
    assert sorted(entry["seq"] for entry in entries if "seq" in entry) == [*range(1, gifts + 1)]
    assert len(entries) == 8
    await scene.check()


@gen_test
async def test_what_runs_out_meanwhile_is_told_before_the_gifts(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    anna, bert = scene.people
    applicant = Person(anna, gender=2)
    await house.users.update(anna, gender=2)
    await change(house, scene.live_id, lambda room: room.leave(anna), anna)
    await change(house, scene.live_id, lambda room: room.enter(applicant, NOW), anna)
    await change(house, scene.live_id, lambda room: room.apply(applicant, NOW, 1), anna)
    await scene.process.give(rose(anna, bert))
    assert await scene.heard() == ["micro_apply", "micro_refuse", "gift"]
    assert places(await house.entries()) == [(scene.live_id, "e1", 3)]
    await scene.check()


# ---- what happens between the look and the write


@in_a_room_or_not
@gen_test
async def test_gold_that_is_granted_meanwhile_is_not_lost_and_the_gift_is_given(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (10, 0), (0, 0), together=together)
    anna, bert = scene.people
    (other,) = scene.processes(1)
    looks = [lambda n=n: other.teller.grant(anna, 50, "test", f"g{n}", "ops") for n in range(3)]
    scene.process.trays.meanwhile = [*looks]
    answer = await scene.process.give(rose(anna, bert, "r"))
    assert answer == {"status": "success", "gold": 150, "income": 0}
    assert await scene.purses() == [(150, 0), (0, 5)]
    assert scene.process.keeper.races == (3 if together else 0)
    await scene.check()


@gen_test
async def test_gold_that_is_granted_to_one_of_many_meanwhile_spoils_nothing(house: House) -> None:
    scene = await a_scene(house, (20, 0), (10, 0), (0, 0))
    anna, bert, carl = scene.people
    (other,) = scene.processes(1)
    scene.process.trays.meanwhile = [
        lambda: other.teller.grant(anna, 50, "test", "g1", "ops"),
        lambda: other.teller.grant(bert, 50, "test", "g2", "ops"),
        lambda: other.teller.grant(carl, 50, "test", "g3", "ops"),
    ]
    done = await scene.together(*(rose(sender, carl) for sender in (anna, bert, anna)))
    assert kinds(done) == {dict: 3}
    assert await scene.purses() == [(50, 0), (50, 0), (50, 15)]
    assert await scene.heard() == ["gift"] * 3
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_gold_that_is_spent_meanwhile_is_not_there(house: House, together: bool) -> None:
    scene = await a_scene(house, (10, 0), (0, 0), together=together)
    (other,) = scene.processes(1)
    scene.process.trays.meanwhile = [lambda: other.give(scene.rose("first"))]
    with pytest.raises(InsufficientGold):
        await scene.process.give(scene.rose("second"))
    assert [entry["_id"].rpartition(":")[2] for entry in await house.entries()] == ["first"]
    assert await scene.purses() == [(0, 0), (0, 5)]
    await scene.check()


@in_a_room_or_not
@pytest.mark.parametrize("gold", [0, 10])
@gen_test
async def test_what_another_process_gives_meanwhile_under_the_same_id_is_the_answer(
    house: House, together: bool, gold: int
) -> None:
    scene = await a_scene(house, (10, 0), (0, 0), together=together)
    (other,) = scene.processes(1)
    answers: list[Answer] = []

    async def give() -> None:
        answers.append(await other.give(scene.rose("r", gold=gold)))

    scene.process.trays.meanwhile = [give]
    answers.append(await scene.process.give(scene.rose("r", gold=gold)))
    assert answers == [{"status": "success", "gold": 10 - gold, "income": 0}] * 2
    assert len(await house.entries()) == 1
    await scene.check()


@in_a_room_or_not
@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
@gen_test
async def test_what_another_process_gives_while_the_book_is_read_is_the_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, together: bool, early: bool
) -> None:
    """Whoever sees the purse that has paid sees the entry, too, and does not call it too empty."""
    scene = await a_scene(house, (10, 0), (0, 0), together=together)
    (other,) = scene.processes(1)
    written, answers = scene.process.trays._written, []

    async def written_and_given(keys: Any) -> Any:
        monkeypatch.undo()
        if early:
            answers.append(await other.give(scene.rose("r")))
        rows = await written(keys)
        if not early:
            answers.append(await other.give(scene.rose("r")))
        return rows

    monkeypatch.setattr(scene.process.trays, "_written", written_and_given)
    answers.append(await scene.process.give(scene.rose("r")))
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 2
    await scene.check()


@in_a_room_or_not
@gen_test
async def test_what_another_process_gives_meanwhile_for_something_else_refuses_it(
    house: House, together: bool
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0), together=together)
    (other,) = scene.processes(1)
    scene.process.trays.meanwhile = [lambda: other.give(scene.rose("r", num=2))]
    with pytest.raises(RequestIdReused):
        await scene.process.give(scene.rose("r"))
    assert await scene.purses() == [(80, 0), (0, 10)]


# ---- when it fails


@gen_test
async def test_a_write_that_fails_is_told_to_all_of_them_and_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    write, failure = scene.process.trays.write, PyMongoError("broken")

    async def write_and_fail(tx: Any, tray: Any) -> None:
        await write(tx, tray)
        if len(tray.entries) > 1:
            raise failure

    monkeypatch.setattr(scene.process.trays, "write", write_and_fail)
    done = await scene.together(*(scene.rose() for _ in range(4)))
    assert [type(it) for it in done] == [dict, *[PyMongoError] * 3]
    assert await scene.heard() == ["gift"]
    assert await scene.purses() == [(90, 0), (0, 5)]
    assert (await scene.process.give(scene.rose()))["gold"] == 80
    await scene.check()


@gen_test
async def test_who_goes_away_has_given_all_the_same_and_disturbs_nobody(house: House) -> None:
    scene = await a_scene(house, (100, 0), (0, 0))
    async with scene.process.busy(scene.live_id):
        giving = await scene.process.come(scene.live_id, *(scene.rose(name) for name in "abc"))
        giving[1].cancel()
    done = await asyncio.gather(*giving, return_exceptions=True)
    assert kinds(done) == {dict: 2, asyncio.CancelledError: 1}
    assert (await scene.process.give(scene.rose("b")))["gold"] == 80
    assert len(await house.entries()) == 3
    await scene.check()
