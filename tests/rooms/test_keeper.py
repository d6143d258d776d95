import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import TryAgain
from rooms import keeper as keeper_module
from rooms.errors import NotHost, RoomNotFound, SeatTaken
from rooms.members import Person
from rooms.room import Room, Seat
from tests.support.keeper import KeeperFixture
from tests.support.room_builders import BERT, CARL, HOST, NOW

gen_test = pytest.mark.gen_test(timeout=20)


def apply(person: Person) -> Callable[[Room], None]:
    return lambda room: room.apply(person, keeper_module.now_ms(), 600)


# ---- change


@gen_test
async def test_a_change_is_saved_before_it_is_published() -> None:
    fixture = KeeperFixture(BERT)
    await fixture.keeper.change(1, apply(BERT), BERT.user_id)
    assert fixture.take_calls() == [
        ("save", 1, 1),
        ("publish", 1, (1, "micro_apply")),
        ("audience", 1),
    ]


@gen_test
async def test_change_returns_the_result_of_the_rule() -> None:
    fixture = KeeperFixture(BERT)
    seat = await fixture.keeper.change(
        1, lambda room: room.accept(BERT, "open", "s", "u"), BERT.user_id
    )
    assert seat == Seat(BERT, "s") == fixture.room().male


@gen_test
async def test_a_refused_change_saves_and_publishes_nothing() -> None:
    fixture = KeeperFixture(BERT)
    with pytest.raises(NotHost):
        await fixture.keeper.change(1, lambda room: room.end(BERT.user_id))
    assert fixture.take_calls() == []
    assert fixture.room().live


@gen_test
async def test_an_unchanged_room_is_not_saved() -> None:
    fixture = KeeperFixture(BERT)
    assert await fixture.keeper.change(1, lambda room: room.enter(BERT, NOW), BERT.user_id)
    assert fixture.take_calls() == []


@gen_test
async def test_a_departure_without_events_marks_the_audience_as_changed() -> None:
    fixture = KeeperFixture(BERT)
    await fixture.keeper.change(1, lambda room: room.leave(BERT.user_id), BERT.user_id)
    assert fixture.take_calls() == [
        ("save", 1),
        ("publish", 1),
        ("audience", 1),
        ("evict", 1, BERT.user_id, 0),
    ]
    assert BERT.user_id not in fixture.store.members


@gen_test
async def test_a_change_without_memberships_leaves_the_audience_unmarked() -> None:
    fixture = KeeperFixture()
    renamed = Person(HOST.user_id, "new")
    await fixture.keeper.change(1, lambda room: room.update_profile(renamed))
    assert fixture.take_calls() == [("save", 1, 1), ("publish", 1, (1, "profile"))]


@gen_test
async def test_every_retry_prepares_again_with_current_data() -> None:
    """A concurrent newer profile wins, and is not overwritten by an older one."""
    fixture, names = KeeperFixture(), iter(["old", "new"])

    async def prepare() -> Person:
        return Person(HOST.user_id, next(names))

    renamed = Person(HOST.user_id, "new")
    fixture.store.before_save = [
        lambda: fixture.store.change(1, lambda it: it.update_profile(renamed))
    ]
    await fixture.keeper.change_prepared(1, prepare, Room.update_profile)
    assert fixture.take_calls() == [], "the room is up to date"
    assert fixture.room().name == "new"


@gen_test
async def test_an_unknown_room_can_be_neither_changed_nor_loaded() -> None:
    fixture = KeeperFixture()
    for action in (fixture.keeper.change(9, lambda room: None), fixture.keeper.load(9)):
        with pytest.raises(RoomNotFound):
            await action


@gen_test
async def test_expired_applications_end_before_the_rule_runs() -> None:
    fixture = KeeperFixture(BERT, CARL)
    fixture.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    await fixture.keeper.change(1, apply(CARL), CARL.user_id)
    assert ("publish", 1, (2, "micro_refuse"), (3, "micro_apply")) in fixture.take_calls()
    assert list(fixture.room().applications) == [CARL.user_id]


@gen_test
async def test_a_change_without_effect_saves_expired_applications_once() -> None:
    fixture = KeeperFixture(BERT)
    fixture.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    for _ in range(2):
        await fixture.keeper.change(1, lambda _room: None)
    assert fixture.take_calls() == [
        ("save", 1, 2),
        ("publish", 1, (2, "micro_refuse")),
        ("audience", 1),
    ]
    assert fixture.room().role_of(BERT.user_id) == "viewer"


def prepared(rule: Callable[[Room], Any]) -> tuple[Any, Callable[[Room, str], Any]]:
    async def prepare() -> str:
        return "prepared"

    return prepare, lambda room, _context: rule(room)


@gen_test
async def test_writes_in_the_transaction_receive_the_prepared_data() -> None:
    fixture, seen = KeeperFixture(BERT), []

    async def write(tx: Any, context: str) -> None:
        seen.append((tx, context))

    await fixture.keeper.change_prepared(
        1, *prepared(apply(BERT)), BERT.user_id, in_transaction=write
    )
    assert seen == [("transaction", "prepared")]


@gen_test
async def test_expiry_alone_writes_nothing_in_the_transaction() -> None:
    fixture, seen = KeeperFixture(BERT), []
    fixture.store.change(1, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)

    async def write(tx: Any, context: str) -> None:
        seen.append(context)

    rule = prepared(lambda room: False)
    assert await fixture.keeper.change_prepared(1, *rule, in_transaction=write) is False
    assert fixture.take_calls()[0] == ("save", 1, 2)
    assert seen == []


@gen_test
async def test_a_failed_write_in_the_transaction_publishes_nothing() -> None:
    fixture = KeeperFixture(BERT)

    async def write(tx: Any, context: str) -> None:
        raise NotHost

    rule = prepared(apply(BERT))
    with pytest.raises(NotHost):
        await fixture.keeper.change_prepared(1, *rule, BERT.user_id, in_transaction=write)
    assert fixture.take_calls() == []


# ---- races


@gen_test
async def test_a_write_conflict_repeats_the_rule_on_the_new_state() -> None:
    fixture = KeeperFixture(BERT, CARL)

    fixture.store.conflicts, fixture.store.rival = 1, lambda: fixture.seat(CARL, "c")
    with pytest.raises(SeatTaken):
        await fixture.keeper.change(
            1, lambda room: room.accept(BERT, "open", "b", ""), BERT.user_id
        )
    assert fixture.take_calls() == []
    assert fixture.room().male == Seat(CARL, "c")


@gen_test
async def test_a_change_that_needed_three_attempts_is_published_once() -> None:
    fixture = KeeperFixture(BERT)
    fixture.store.conflicts = 2
    await fixture.keeper.change(1, apply(BERT), BERT.user_id)
    assert fixture.take_calls() == [
        ("save", 1, 1),
        ("publish", 1, (1, "micro_apply")),
        ("audience", 1),
    ]
    assert fixture.store.loads == 3


@gen_test
async def test_endless_write_conflicts_end_in_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper_module, "RETRY_TIMEOUT_SECONDS", 0.05)
    fixture = KeeperFixture(BERT)
    fixture.store.conflicts = 10**6
    with pytest.raises(TryAgain):
        await fixture.keeper.change(1, apply(BERT), BERT.user_id)
    assert fixture.store.loads > 1
    assert fixture.take_calls() == []


@gen_test
async def test_two_concurrent_changes_of_a_room_are_serialized_without_conflict() -> None:
    fixture = KeeperFixture(BERT, CARL)
    await asyncio.gather(
        *(fixture.keeper.change(1, apply(person), person.user_id) for person in (BERT, CARL))
    )
    assert [call[:3] for call in fixture.take_calls() if call[0] == "save"] == [
        ("save", 1, 1),
        ("save", 1, 2),
    ]
    assert fixture.store.loads == 2


@gen_test
async def test_a_room_lock_that_stays_taken_ends_in_try_again() -> None:
    fixture = KeeperFixture(BERT, lock_seconds=0.01)
    async with fixture.keeper._locks.hold("room:1"):
        with pytest.raises(TryAgain):
            await fixture.keeper.change(1, apply(BERT), BERT.user_id)
        await fixture.keeper.change(2, lambda room: room.enter(CARL, NOW), CARL.user_id)
    assert fixture.store.loads == 1
