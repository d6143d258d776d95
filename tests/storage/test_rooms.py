"""Rooms on a real MongoDB: the guard, the log, the lives."""

import asyncio
from typing import Any

import pytest

from rooms.keeper import Keeper, Raced
from rooms.locks import Locks
from rooms.people import Person
from rooms.room import Room, Seat
from storage.database import Database
from storage.rooms import LOG
from tests.rooms.cast import ANNA, BERT, CARL, HOST, NOW, PATIENCE
from tests.storage.conftest import House, build

gen_test = pytest.mark.gen_test(timeout=60)


async def opened(house: House, *viewers: Person, host: Person = HOST, epoch: str = "e1") -> int:
    live_id, _, _ = await house.rooms.of_host(host)
    await change(house, live_id, lambda room: room.open(host, epoch, "s", NOW), host.user_id)
    for person in viewers:
        await change(house, live_id, lambda room, p=person: room.enter(p, NOW), person.user_id)
    return live_id


async def load(house: House, live_id: int, *people: str) -> Room:
    room = await house.rooms.load(live_id, people)
    assert room is not None
    return room


async def save(house: House, room: Room, now: int = NOW, also: Any = None) -> None:
    await house.rooms.save(room, room.numbered(now), also)


async def change(house: House, live_id: int, rule, *people: str) -> None:
    room = await load(house, live_id, *people)
    rule(room)
    await save(house, room)


async def stored(house: House, live_id: int) -> dict[str, Any]:
    document = await house.database.collection("rooms").find_one({"_id": live_id})
    assert document is not None
    return document


# ---- rooms of hosts


@gen_test
async def test_a_host_has_one_room_for_ever(house: House) -> None:
    first = await house.rooms.of_host(HOST)
    assert first == (first[0], f"qlive{first[0]}", False)
    assert await house.rooms.of_host(HOST) == first
    assert (await house.rooms.of_host(BERT))[0] != first[0]
    room = await load(house, first[0])
    assert not room.live
    assert (room.owner, room.epoch, room.version) == (Seat(HOST, ""), "", 0)


@gen_test
async def test_a_room_made_many_times_at_once_is_one(house: House) -> None:
    made = await asyncio.gather(*(house.rooms.of_host(HOST) for _ in range(10)))
    assert len(set(made)) == 1
    assert await house.database.collection("rooms").count_documents({}) == 1


@gen_test
async def test_the_group_is_ready_when_it_was_made_and_anew_when_it_was_dropped(
    house: House,
) -> None:
    live_id, group_id, _ = await house.rooms.of_host(HOST)
    assert await house.rooms.drop_group(HOST.user_id) is None
    await house.rooms.group_made(live_id)
    assert await house.rooms.of_host(HOST) == (live_id, group_id, True)
    assert await house.rooms.drop_group(HOST.user_id) == group_id
    _, renamed, ready = await house.rooms.of_host(HOST)
    assert not ready
    assert renamed.startswith(f"{group_id}-")
    assert await house.rooms.drop_group("nobody") is None


@gen_test
async def test_a_room_that_does_not_exist_is_none(house: House) -> None:
    assert await house.rooms.load(99) is None
    assert await house.rooms.load(99, [BERT.user_id]) is None


@gen_test
async def test_a_host_whose_room_another_process_makes_meanwhile_gets_that_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = house.database.collection("rooms")

    class Rival:
        """Makes the room, under another number, between our look and our write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        async def find_one_and_update(self, *_: Any, **__: Any) -> None:
            monkeypatch.setattr(house.rooms, "_rooms", rows)
            await house.rooms.of_host(HOST)
            await rows.insert_one({"_id": 0, "host_id": HOST.user_id})

    monkeypatch.setattr(house.rooms, "_rooms", Rival())
    live_id, group_id, ready = await house.rooms.of_host(HOST)
    assert (group_id, ready) == (f"qlive{live_id}", False)
    assert await rows.count_documents({}) == 1


# ---- what is saved is what is loaded


@gen_test
async def test_everything_of_a_room_comes_back(house: House) -> None:
    live_id = await opened(house, BERT, ANNA, CARL)
    people = [person.user_id for person in (HOST, BERT, ANNA, CARL)]
    room = await load(house, live_id, *people)
    room.accept(BERT, "open", "sb", "u")
    room.apply(ANNA, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    await save(house, room)
    again = await load(house, live_id, *people)
    for name in ("owner", "male", "female", "applications", "epoch", "status", "started_at"):
        assert getattr(again, name) == getattr(room, name)
    assert again.version == 3
    assert [again.role_of(p) for p in people] == ["host", "male", "applied", "viewer"]


@gen_test
async def test_only_the_places_asked_for_are_loaded(house: House) -> None:
    live_id = await opened(house, BERT, ANNA)
    assert (await load(house, live_id)).members == {}
    room = await load(house, live_id, BERT.user_id, "nobody")
    assert room.members.keys() == {BERT.user_id}


@gen_test
async def test_a_place_elsewhere_is_loaded_too(house: House) -> None:
    first, second = await opened(house, BERT), await opened(house, host=ANNA)
    room = await load(house, second, BERT.user_id)
    assert room.members[BERT.user_id].live_id == first
    assert room.role_of(BERT.user_id) is None


@gen_test
async def test_an_application_that_ends_is_no_longer_stored(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    for person in (BERT, CARL):
        await change(house, live_id, lambda r, p=person: r.apply(p, NOW, 600), person.user_id)
    await change(house, live_id, lambda room: room.refuse(BERT.user_id), BERT.user_id)
    assert (await stored(house, live_id))["applications"].keys() == {CARL.user_id}


@gen_test
async def test_one_change_may_let_an_application_expire_and_end_the_live(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    for person, seconds in ((BERT, 1), (CARL, 600)):
        await change(
            house, live_id, lambda r, p=person, s=seconds: r.apply(p, NOW, s), person.user_id
        )
    room = await load(house, live_id, HOST.user_id)
    room.expire(NOW + 1_000)
    room.close("host")
    await save(house, room)
    document = await stored(house, live_id)
    assert (document["applications"], document["status"]) == ({}, "ended")
    log = await house.rooms.log_since(live_id, "e1", 2)
    assert log is not None
    assert [event.type for event in log] == ["micro_refuse", "live_end"]


# ---- the guard


@gen_test
async def test_whoever_loaded_an_older_version_loses(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    late = await load(house, live_id, CARL.user_id)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    before = await stored(house, live_id)
    late.accept(CARL, "open", "c", "")
    with pytest.raises(Raced):
        await save(house, late)
    assert await stored(house, live_id) == before
    place = await house.members.get(CARL.user_id)
    assert place is not None
    assert place.role == "viewer"


@gen_test
async def test_whoever_loaded_an_older_life_with_the_same_version_loses(house: House) -> None:
    live_id = await opened(house, BERT)
    late = await load(house, live_id)
    await change(house, live_id, lambda room: room.close("host"))
    await opened(house, epoch="e2")
    assert (await stored(house, live_id))["version"] == late.version == 0
    late.update_profile(Person(HOST.user_id, "late"))
    with pytest.raises(Raced):
        await save(house, late)


@gen_test
async def test_of_many_who_sit_down_at_once_one_sits(house: House) -> None:
    men = [Person(f"3000000{n}", f"man{n}", "", 1) for n in range(8)]
    live_id = await opened(house, *men)
    loaded = [await load(house, live_id, man.user_id) for man in men]
    for room, man in zip(loaded, men, strict=True):
        room.accept(man, "open", "s", "")
    done = await asyncio.gather(*(save(house, room) for room in loaded), return_exceptions=True)
    assert sorted(map(repr, done)) == sorted([repr(None), *([repr(Raced())] * 7)])
    room = await load(house, live_id, *(man.user_id for man in men))
    assert room.male is not None
    assert [m.role for m in room.members.values()].count("male") == 1
    assert room.role_of(room.male.person.user_id) == "male"


@gen_test
async def test_what_fails_beside_a_change_takes_the_change_along(house: House) -> None:
    live_id = await opened(house, BERT)
    before = await stored(house, live_id)
    room = await load(house, live_id, BERT.user_id)
    room.apply(BERT, NOW, 600)

    async def also(session: Any, room: Room) -> None:
        await house.database.collection("users").insert_one({"_id": "x"}, session=session)
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"):
        await save(house, room, also=also)
    assert await stored(house, live_id) == before
    assert await house.users.find("x") is None
    place = await house.members.get(BERT.user_id)
    assert place is not None
    assert place.role == "viewer"


@gen_test
async def test_what_succeeds_beside_a_change_is_there_with_it(house: House) -> None:
    live_id = await opened(house)
    room = await load(house, live_id)
    room.update_profile(Person(HOST.user_id, "new"))

    async def also(session: Any, room: Room) -> None:
        await house.database.collection("counters").insert_one({"_id": "x"}, session=session)

    await save(house, room, also=also)
    assert (await load(house, live_id)).name == "new"
    assert await house.database.collection("counters").find_one({"_id": "x"})


# ---- the end of a life


@gen_test
async def test_the_end_adds_to_the_hosts_time_and_clearing_forgets_the_places(
    house: House,
) -> None:
    user, _ = await house.users.create("app", "host")
    host = Person(user.user_id, "hong", "", 2)
    live_id = await opened(house, BERT, host=host)
    for seconds, epoch in ((61, "e2"), (30, "e3")):
        room = await load(house, live_id)
        room.close("host")
        await save(house, room, now=NOW + seconds * 1000 + 999)
        await house.rooms.clear(live_id, room.epoch)
        assert await house.rooms.place_of(host.user_id) is None
        await opened(house, host=host, epoch=epoch)
    assert (await house.users.get(host.user_id)).continuous_time == 91
    assert await house.rooms.place_of(BERT.user_id) is None


@gen_test
async def test_clearing_one_life_leaves_the_next_one_alone(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.close("host"))
    await opened(house, CARL, epoch="e2")
    await house.rooms.clear(live_id, "e1")
    assert await house.rooms.place_of(BERT.user_id) is None
    room = await load(house, live_id, HOST.user_id, CARL.user_id)
    assert [room.role_of(p.user_id) for p in (HOST, CARL)] == ["host", "viewer"]


# ---- the log


async def talk(house: House, live_id: int, times: int) -> None:
    for n in range(times):
        await change(
            house, live_id, lambda room, n=n: room.update_profile(Person(HOST.user_id, f"n{n}"))
        )


@gen_test
async def test_the_log_tells_what_was_missed_in_order(house: House) -> None:
    live_id = await opened(house)
    await talk(house, live_id, 5)
    missed = await house.rooms.log_since(live_id, "e1", 3)
    assert missed is not None
    assert [(event.epoch, event.seq, event.ts, event.type) for event in missed] == [
        ("e1", 4, NOW, "profile"),
        ("e1", 5, NOW, "profile"),
    ]
    assert missed[1].data["nickname"] == "n4"
    assert await house.rooms.log_since(live_id, "e1", 5) == []


@gen_test
async def test_the_log_of_another_life_or_of_the_future_is_not_told(house: House) -> None:
    live_id = await opened(house)
    await talk(house, live_id, 2)
    assert await house.rooms.log_since(live_id, "e0", 1) is None
    assert await house.rooms.log_since(live_id, "e1", 3) is None
    assert await house.rooms.log_since(live_id, "e1", -1) is None
    assert await house.rooms.log_since(99, "e1", 0) is None


@gen_test
async def test_the_ring_keeps_the_last_events_and_nothing_before(house: House) -> None:
    live_id = await opened(house)
    await house.database.collection("rooms").update_one(
        {"_id": live_id}, {"$set": {"version": 10_000}}
    )
    await talk(house, live_id, LOG + 3)
    last = 10_000 + LOG + 3
    kept = await house.rooms.log_since(live_id, "e1", last - LOG)
    assert kept is not None
    assert [event.seq for event in kept] == list(range(last - LOG + 1, last + 1))
    assert kept[-1].data["nickname"] == f"n{LOG + 2}"
    assert await house.rooms.log_since(live_id, "e1", last - LOG - 1) is None
    assert len((await stored(house, live_id))["log"]) == LOG


@gen_test
async def test_a_new_life_begins_an_empty_log(house: House) -> None:
    live_id = await opened(house)
    await talk(house, live_id, 3)
    await change(house, live_id, lambda room: room.close("host"))
    (last,) = await house.rooms.log_since(live_id, "e1", 3) or []
    assert last.type == "live_end"
    await opened(house, epoch="e2")
    assert (await stored(house, live_id))["log"] == {}
    assert await house.rooms.log_since(live_id, "e1", 0) is None
    assert await house.rooms.log_since(live_id, "e2", 0) == []


@gen_test
async def test_state_and_log_agree_under_many_changes_at_once(house: House) -> None:
    """Without a lock between them, as in several processes."""
    men = [Person(f"3000000{n}", f"man{n}", "", 1) for n in range(6)]
    live_id = await opened(house, *men)

    class Deaf:
        def tell(self, *_: Any) -> None: ...
        def stir(self, *_: Any) -> None: ...
        def show_out(self, *_: Any, **__: Any) -> None: ...

    async def visit(man: Person) -> None:
        keeper = Keeper(house.rooms, Deaf(), Locks())
        for _ in range(4):
            await keeper.change(live_id, lambda room: room.apply(man, 2**42, 600), man.user_id)
            await keeper.change(live_id, lambda room: room.refuse(man.user_id), man.user_id)

    await asyncio.gather(*(visit(man) for man in men))
    room = await load(house, live_id, *(man.user_id for man in men))
    assert room.version == len(men) * 4 * 2
    assert {member.role for member in room.members.values()} == {"viewer"}
    log = await house.rooms.log_since(live_id, "e1", 0)
    assert log is not None
    for man in men:
        heard = [event.type for event in log if event.data["user_id"] == man.user_id]
        assert heard == ["micro_apply", "micro_refuse"] * 4


# ---- absences, those who were put out, streams


@gen_test
async def test_seats_of_people_who_are_away_come_back_as_they_were(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    for person in (BERT, HOST):
        await house.database.collection("members").update_one(
            {"_id": person.user_id}, {"$set": {"away_at": NOW}}
        )
        await change(
            house,
            live_id,
            lambda room, p=person: room.miss(
                p.user_id, NOW + 3_000, PATIENCE, since=0, streams=False
            ),
            person.user_id,
        )
    room = await load(house, live_id)
    assert (room.male, room.owner) == (Seat(BERT, "b", away=True), Seat(HOST, "s", away=True))
    assert room.status == "paused"
    assert (await house.rooms.live())[0].owner.away
    for person in (BERT, HOST):
        await change(house, live_id, lambda r, p=person: r.come_back(p.user_id), person.user_id)
    room = await load(house, live_id)
    assert (room.male, room.owner) == (Seat(BERT, "b"), Seat(HOST, "s"))
    assert room.status == "live"
    log = await house.rooms.log_since(live_id, "e1", 1)
    assert log is not None
    assert [event.type for event in log] == [
        *("member_away", "member_away", "live_pause"),
        *("member_back", "member_back", "live_resume"),
    ]


async def put_out(house: House, live_id: int, person: Person, until: int) -> None:
    await change(
        house,
        live_id,
        lambda room: room.put_out(HOST.user_id, person.user_id, until),
        person.user_id,
    )


@gen_test
async def test_whoever_was_put_out_is_kept_out_in_the_next_live_too(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    await put_out(house, live_id, BERT, NOW + 5)
    await put_out(house, live_id, CARL, NOW)
    assert (await load(house, live_id)).blocked == {
        BERT.user_id: NOW + 5,
        CARL.user_id: NOW,
    }
    assert await house.members.get(BERT.user_id) is None
    await change(house, live_id, lambda room: room.close("host"))
    assert (await load(house, live_id)).blocked.keys() == {BERT.user_id, CARL.user_id}
    await opened(house, epoch="e2")
    assert (await load(house, live_id)).blocked == {BERT.user_id: NOW + 5}
    assert (await stored(house, live_id))["blocked"] == {BERT.user_id: NOW + 5}


@gen_test
async def test_putting_out_somebody_who_is_not_there_is_one_guarded_write(house: House) -> None:
    live_id = await opened(house, CARL)
    late = await load(house, live_id, BERT.user_id)
    await change(house, live_id, lambda room: room.apply(CARL, NOW, 600), CARL.user_id)
    late.put_out(HOST.user_id, BERT.user_id, NOW + 5)
    with pytest.raises(Raced):
        await save(house, late)
    assert (await load(house, live_id)).blocked == {}
    await put_out(house, live_id, BERT, NOW + 5)
    room = await load(house, live_id)
    assert (room.blocked, room.version) == ({BERT.user_id: NOW + 5}, 1)


@gen_test
async def test_two_who_are_put_out_at_once_are_both_kept_out_or_one_tries_again(
    house: House,
) -> None:
    live_id = await opened(house, BERT, CARL)
    for person in (BERT, CARL):
        await change(
            house, live_id, lambda r, p=person: r.accept(p, "open", "s", "")
            if r.male is None else None, person.user_id,
        )  # fmt: skip
    rooms = [await load(house, live_id, person.user_id) for person in (BERT, CARL)]
    for room, person in zip(rooms, (BERT, CARL), strict=True):
        room.put_out(HOST.user_id, person.user_id, NOW + 5)
    await save(house, rooms[0])
    with pytest.raises(Raced):
        await save(house, rooms[1])
    await put_out(house, live_id, CARL, NOW + 5)
    assert (await load(house, live_id)).blocked.keys() == {BERT.user_id, CARL.user_id}


async def errands(house: House) -> list[dict[str, Any]]:
    rows = await house.database.collection("errands").find().sort("_id", 1).to_list()
    return [{row["kind"]: row["payload"]} for row in rows]


@gen_test
async def test_the_stream_of_a_seat_that_ends_is_dropped_with_the_seat(house: House) -> None:
    live_id = await opened(house, BERT, ANNA)
    for person in (BERT, ANNA):
        await change(
            house, live_id, lambda r, p=person: r.accept(p, "open", p.nickname, ""), person.user_id
        )
    assert await errands(house) == []
    await change(house, live_id, lambda r: r.leave_micro(BERT.user_id, BERT.user_id), BERT.user_id)
    assert await errands(house) == [{"drop_stream": {"stream": "bert"}}]
    await change(house, live_id, lambda room: room.close("host"))
    dropped = [row["drop_stream"]["stream"] for row in (await errands(house))[1:]]
    assert sorted(dropped) == ["anna", "s"]
    found = await house.errands.claim(await house.database.now(), await house.database.now())
    assert found is not None
    assert (found.kind, found.payload) == ("drop_stream", {"stream": "bert"})


@gen_test
async def test_a_change_that_loses_its_race_drops_no_stream(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    late = [await load(house, live_id, BERT.user_id) for _ in range(2)]
    await talk(house, live_id, 1)
    late[0].leave(BERT.user_id)
    late[1].close("host")
    for room in late:
        with pytest.raises(Raced):
            await save(house, room)
    assert await errands(house) == []
    assert (await load(house, live_id)).male is not None


@gen_test
async def test_a_place_that_is_another_by_now_takes_the_dropped_stream_along(
    house: House,
) -> None:
    """The room's own guard holds, the place's does not: nothing of it is written."""
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    late = await load(house, live_id, BERT.user_id)
    await house.presences.arrive(BERT.user_id, live_id, "process-1", NOW)
    late.leave(BERT.user_id)
    with pytest.raises(Raced):
        await save(house, late)
    assert await errands(house) == []
    assert (await load(house, live_id)).male is not None


@gen_test
async def test_what_fails_beside_a_change_drops_no_stream(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    room = await load(house, live_id, BERT.user_id)
    room.leave(BERT.user_id)

    async def also(session: Any, room: Room) -> None:
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"):
        await save(house, room, also=also)
    assert await errands(house) == []
    assert (await load(house, live_id)).male is not None


@gen_test
async def test_where_nobody_drops_streams_no_errand_is_written(
    house: House, database: Database
) -> None:
    quiet = build(database, drops_streams=False)
    live_id = await opened(quiet, BERT)
    await change(quiet, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    await change(quiet, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
    await change(quiet, live_id, lambda room: room.close("host"))
    room = await load(quiet, live_id)
    assert (room.live, room.male) == (False, None)
    assert await errands(house) == []


@gen_test
async def test_rooms_from_before_there_were_absences_are_rooms_like_others(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id)
    rows = house.database.collection("rooms")
    old = {"blocked": "", "owner.away": "", "male.away": ""}
    await rows.update_one({"_id": live_id}, {"$unset": old})
    room = await load(house, live_id, BERT.user_id)
    assert (room.owner, room.male, room.blocked) == (Seat(HOST, "s"), Seat(BERT, "b"), {})
    await put_out(house, live_id, BERT, NOW + 5)
    assert (await load(house, live_id)).blocked == {BERT.user_id: NOW + 5}
    await rows.update_one({"_id": live_id}, {"$unset": {"blocked": ""}})
    await change(house, live_id, lambda room: room.close("host"))
    await opened(house, epoch="e2")
    assert (await stored(house, live_id))["blocked"] == {}


# ---- questions about many rooms


@gen_test
async def test_versions_of_rooms(house: House) -> None:
    first, second = await opened(house), await opened(house, host=ANNA, epoch="a1")
    await talk(house, first, 2)
    asked = await house.rooms.versions([first, second, 99])
    assert asked == {first: ("e1", 2), second: ("a1", 0)}


@gen_test
async def test_a_room_is_due_when_the_first_of_its_applications_has_run_out(house: House) -> None:
    live_id = await opened(house, BERT, CARL)
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 60), BERT.user_id)
    await change(house, live_id, lambda room: room.apply(CARL, NOW, 30), CARL.user_id)
    assert await house.rooms.due(NOW + 29_999) == []
    assert await house.rooms.due(NOW + 30_000) == [live_id]
    await change(house, live_id, lambda room: room.expire(NOW + 30_000))
    assert await house.rooms.due(NOW + 59_999) == []
    await change(house, live_id, lambda room: room.expire(NOW + 60_000))
    assert await house.rooms.due(NOW + 10**9) == []


@gen_test
async def test_a_room_that_ended_is_never_due(house: House) -> None:
    live_id = await opened(house, BERT)
    await change(house, live_id, lambda room: room.apply(BERT, NOW, 60), BERT.user_id)
    await change(house, live_id, lambda room: room.close("host"))
    assert await house.rooms.due(NOW + 10**9) == []


@gen_test
async def test_live_rooms_are_listed_the_newest_first(house: House) -> None:
    hosts = [Person(f"4000000{n}", f"host{n}", "", 1) for n in range(3)]
    ids = []
    for n, host in enumerate(hosts):
        live_id, _, _ = await house.rooms.of_host(host)
        await change(
            house, live_id, lambda r, h=host, n=n: r.open(h, f"e{n}", "s", NOW + n), host.user_id
        )
        ids.append(live_id)
    await change(house, ids[1], lambda room: room.close("host"))
    assert [room.live_id for room in await house.rooms.live()] == [ids[2], ids[0]]
