"""Summaries of lives on MongoDB, against counts from the log, the journal and the answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from pymongo.asynchronous.collection import AsyncCollection
from tornado.ioloop import IOLoop

from core.errors import QLiveError
from rooms.members import Person
from rooms.room import Room
from tests.support.hypothesis_profiles import example_settings
from tests.support.room_builders import ANNA, BERT, HOST, NOW
from tests.support.room_screen import dates_of
from tests.support.storage import GiftProcess, StoresFixture, rose
from tests.support.stored_rooms import accept_user, change_room, open_room

GOLD = 1_000_000
Action = Literal["enter", "leave", "apply", "accept", "leave_mic", "tip", "give"]
ACTIONS: list[Action] = ["enter"] * 4 + ["apply"] * 2 + ["accept"] * 6 + ["leave_mic"] * 3
ACTIONS += ["tip"] * 2 + ["give", "leave"]
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4)), min_size=20, max_size=60)
TOGETHER = 4
"""Calls at the same time, which change the room in batches."""


LIVES = ("lives", "matches", "visits")


class Evening:
    """A live whose host and five guests have users; `entered` are those who were let in."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.process = GiftProcess(stores)
        self.changes = self.process.room_changes
        self.entered: set[str] = set()

    async def open(self) -> "Evening":
        for name in (
            "users",
            "ledger",
            "rankings",
            "rooms",
            "members",
            "lives",
            "visits",
            "matches",
        ):
            await self.stores.rows(name).delete_many({})
        host, *guests = await self.stores.create_users(*[(GOLD, 0)] * 6)
        self.host = Person(host, "host", gender=2)
        self.guests = [Person(id_, id_, gender=n % 2 + 1) for n, id_ in enumerate(guests)]
        self.live_id = await open_room(self.stores, host=self.host)
        return self

    async def run(self, action: Action, number: int) -> None:
        guest, host_id = self.guests[number], self.host.user_id
        user_id, other = guest.user_id, self.guests[number - 1].user_id
        rules: dict[Action, Callable[[Room], Any]] = {
            "leave": lambda room: room.leave(user_id),
            "apply": lambda room: room.apply(guest, NOW + 2**40),
            "accept": lambda room: room.accept(guest, "open", "", ""),
            "leave_mic": lambda room: room.leave_mic(guest, user_id),
        }
        with suppress(QLiveError):
            if action == "enter":
                await self.changes.enter(self.live_id, guest)
                self.entered.add(user_id)
            elif action in rules:
                await self.changes.change(self.live_id, rules[action], user_id)
            else:
                await self.process.give(rose(user_id, host_id if action == "tip" else other))

    async def counted(self) -> dict[str, Any]:
        """The report, as the log, the journal and the answers tell it."""
        log = await self.stores.rooms.log_since(self.live_id, "e1", 0) or []
        tips = await self.stores.entries(epoch="e1", **{"content.to": self.host.user_id})
        ends = [event for event in log if event.type == "live_end"]
        return {
            "live_id": self.live_id,
            "host_id": self.host.user_id,
            "applications": [event.type for event in log].count("micro_apply"),
            "dates": dates_of(log),
            "income": sum(
                line["amount"]
                for tip in tips
                for line in tip["lines"]
                if line["account"] == f"user:{self.host.user_id}"
            ),
            "ended_at": ends[0].ts if ends else None,
            "reason": ends[0].data["reason"] if ends else "",
            "audience_total": len(self.entered) if ends else None,
        }

    async def reported(self) -> dict[str, Any]:
        [row], _ = await self.stores.summaries.page("", 9)
        dates = [{**d, "from": ms(d["from"]), "to": ms(d["to"])} for d in row["dates"]]
        times = {"ended_at": ms(row["ended_at"]), "dates": dates}
        return {name: {**row, **times}[name] for name in await self.counted()}


def ms(at: Any) -> int | None:
    return at and round(at.timestamp() * 1000)


@example_settings(
    12,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_a_report_is_what_the_whole_log_the_journal_and_the_answers_count(
    io_loop: IOLoop, stores: StoresFixture, steps: list[tuple[Action, int]]
) -> None:
    async def run() -> None:
        evening = await Evening(stores).open()
        await asyncio.gather(*(evening.run("enter", number) for number in range(4)))
        for start in range(0, len(steps), TOGETHER):
            await asyncio.gather(*(evening.run(*step) for step in steps[start : start + TOGETHER]))
        assert await evening.reported() == await evening.counted()
        await evening.changes.change(evening.live_id, lambda room: room.close("operator"))
        assert await evening.reported() == await evening.counted()
        [row], _ = await stores.summaries.page("", 9)
        assert bool(evening.entered) <= row["audience_peak"] <= row["audience_total"]
        assert await stores.rows("visits").count_documents({}) == 0

    io_loop.run_sync(run)


async def test_gifts_follows_and_peaks_at_once_are_all_counted(stores: StoresFixture) -> None:
    evening, count = await Evening(stores).open(), 30
    for number in range(5):
        await evening.run("enter", number)
    host_id = evening.host.user_id
    follows = [stores.follows.put(f"follower{n}", host_id, "e1") for n in range(count)]
    gifts = [evening.run("tip", n % 5) for n in range(count)]
    peaks = [note_peak(StoresFixture(stores.database), n) for n in range(count)]
    await asyncio.gather(*follows, *gifts, *peaks)
    [row], _ = await stores.summaries.page("", 9)
    numbers = (row["followers"], row["income"], row["audience_peak"])
    assert numbers == (count, 5 * count, count - 1)


async def note_peak(stores: StoresFixture, audience: int, epoch: str = "e1") -> None:
    stores.visits.note_audience(epoch, audience)
    await stores.visits.flush()


# ---- ends, killed processes, and readers


async def end(stores: StoresFixture, live_id: int) -> None:
    """End the live in a process that is killed before it clears the memberships."""
    await change_room(stores, live_id, lambda room: room.close("host"))


async def report(stores: StoresFixture) -> dict[str, Any]:
    """The newest report of HOST."""
    return (await stores.summaries.page_of_host(HOST.user_id, 1, 8))[0]


async def test_a_reader_counts_the_audience_that_a_killed_process_has_not_counted(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, ANNA, BERT)
    await change_room(stores, live_id, lambda room: room.leave(ANNA.user_id), ANNA.user_id)
    await change_room(stores, live_id, lambda room: room.enter(ANNA, NOW), ANNA.user_id)
    assert (await report(stores))["audience_total"] is None
    await end(stores, live_id)
    readers = await asyncio.gather(*(report(stores) for _ in range(4)))
    await stores.summaries.complete(live_id, "e1")
    for row in (*readers, await report(stores)):
        assert (row["audience_peak"], row["audience_total"]) in [(1, 2), (2, 2)]
    assert await stores.rows("visits").count_documents({}) == 0


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_report_counts_those_who_began_to_follow_in_the_live_and_still_did_at_its_end(
    stores: StoresFixture, *, is_killed: bool
) -> None:
    live_id = await open_room(stores)
    for by, epoch in (("20000000", "e0"), ("20000001", "e1"), ("20000002", "e1"), ("20000003", "")):
        await stores.follows.put(by, HOST.user_id, epoch)
    assert (await report(stores))["followers"] == 2
    await stores.follows.drop("20000001", HOST.user_id)
    await end(stores, live_id)
    if not is_killed:
        await stores.summaries.complete(live_id, "e1")
    assert (await report(stores))["followers"] == 1
    await stores.follows.drop("20000002", HOST.user_id)
    assert (await report(stores))["followers"] == 1


async def test_following_writes_no_document_that_gifts_in_the_live_write(
    stores: StoresFixture,
) -> None:
    await open_room(stores)
    before = await stores.rows("lives").find_one()
    await stores.follows.put("20000000", HOST.user_id, "e1")
    assert await stores.rows("lives").find_one() == before


async def test_a_report_outlives_the_next_live_of_its_room(stores: StoresFixture) -> None:
    live_id = await open_room(stores, ANNA)
    await end(stores, live_id)
    await stores.summaries.complete(live_id, "e1")
    first = await report(stores)
    await open_room(stores, BERT, epoch="e2")
    assert await stores.summaries.page_of_host(HOST.user_id, 2, 1) == [first]
    assert await stores.summaries.page_of_host(HOST.user_id, 3, 1) == []
    assert await stores.summaries.page_of_host(ANNA.user_id, 1, 8) == []
    (second, last), cursor = await stores.summaries.page("", 9, live_id=live_id)
    assert (second["_id"], last, cursor) == ("e2", first, None)
    assert await stores.summaries.page("", 9, host_id=ANNA.user_id) == ([], None)


async def test_the_peak_is_the_largest_number_and_a_smaller_one_writes_nothing(
    stores: StoresFixture, commands: list[str]
) -> None:
    live_id = await open_room(stores, ANNA)
    other_process = StoresFixture(stores.database)
    await note_peak(stores, 5)
    await note_peak(other_process, 3)
    await note_peak(other_process, 9, "unknown")
    commands.clear()
    await note_peak(stores, 5)
    assert commands == []
    assert (await report(stores))["audience_peak"] == 5
    await end(stores, live_id)
    assert (await report(stores))["audience_peak"] == 1  # no more than have entered


async def test_a_live_without_an_audience_has_no_peak(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await end(stores, live_id)
    row = await report(stores)
    assert (row["audience_peak"], row["audience_total"]) == (0, 0)


async def test_what_a_live_counts_writes_its_room_alone_until_the_end(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, ANNA, BERT)
    begun = await stores.rows("lives").find_one()
    for _ in range(3):
        for person in (ANNA, BERT):
            await change_room(
                stores, live_id, partial(Room.apply, person=person, now=NOW), person.user_id
            )
            await accept_user(stores, live_id, person)
        for person in (BERT, ANNA):
            leave = partial(Room.leave_mic, actor=person, target=person.user_id)
            await change_room(stores, live_id, leave, person.user_id)
    assert await stores.rows("lives").find_one() == begun
    running = await report(stores)
    assert (running["applications"], len(running["dates"])) == (6, 3)
    await end(stores, live_id)
    ended = await report(stores)
    assert {name: ended[name] for name in ("applications", "dates")} == {
        name: running[name] for name in ("applications", "dates")
    }


async def test_members_whose_process_was_killed_before_it_wrote_their_visits_count_at_the_end(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, ANNA, BERT)
    other_process = StoresFixture(stores.database)
    await end(other_process, live_id)
    assert (await report(other_process))["audience_total"] == 2


async def test_a_failed_flush_is_repeated(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_room(stores, ANNA)
    stores.visits.note_audience("e1", 7)
    with monkeypatch.context() as patch:
        patch.setattr(AsyncCollection, "bulk_write", fail)
        with pytest.raises(ConnectionError):
            await stores.visits.flush()
    await stores.visits.flush()
    assert (await report(stores))["audience_peak"] == 7
    visitor = await stores.rows("visits").find_one({"_id": f"e1:{ANNA.user_id}"})
    assert visitor is not None


async def fail(*_args: object, **_options: object) -> None:
    raise ConnectionError
