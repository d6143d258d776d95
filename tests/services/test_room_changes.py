import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

import core.retry
from core.errors import TryAgain, WriteConflict
from rooms.errors import NotHost, RoomNotFound
from rooms.members import Person
from rooms.room import Room
from services import room_changes as room_changes_module
from services.room_changes import BatchData
from tests.support.room_builders import BERT, CARL, HOST, NOW
from tests.support.room_changes import Call, RoomChangesFixture

Rule = Callable[[Room], Any]
AUDIENCE = ("audience", 1)


def apply(person: Person) -> Callable[[Room], None]:
    return lambda room: room.apply(person, room_changes_module.now_ms())


@pytest.mark.parametrize(
    ("rule", "user", "calls"),
    [
        (apply(BERT), BERT, [("save", 1, 1), ("publish", 1, (1, "micro_apply")), AUDIENCE]),
        (
            lambda room: room.leave(BERT.user_id),
            BERT,
            [("save", 1), ("publish", 1), AUDIENCE, ("evict", 1, BERT.user_id, 0)],
        ),
        (
            lambda room: room.update_profile(Person(HOST.user_id, "new")),
            HOST,
            [("save", 1, 1), ("publish", 1, (1, "profile"))],
        ),
        (
            lambda room: room.end(HOST.user_id),
            HOST,
            [("save", 1, 1), ("publish", 1, (1, "live_end")), ("clear", 1, "e")],
        ),
        (lambda room: room.enter(BERT, NOW), BERT, []),
    ],
    ids=["application", "departure without event", "new name", "end of the live", "no change"],
)
async def test_a_change_is_saved_and_then_published(
    rule: Rule, user: Person, calls: list[Call]
) -> None:
    fixture = RoomChangesFixture(BERT)
    await fixture.room_changes.change(1, rule, user.user_id)
    assert fixture.take_calls() == calls


async def test_a_refused_change_saves_and_publishes_nothing() -> None:
    fixture = RoomChangesFixture(BERT)
    for change in (fixture.room_changes.change, fixture.room_changes.begin):
        with pytest.raises(NotHost):
            await change(1, lambda room: room.end(BERT.user_id))
    assert fixture.take_calls() == []
    assert fixture.room().live


async def test_an_unknown_room_can_be_neither_changed_nor_loaded() -> None:
    fixture = RoomChangesFixture()
    for action in (fixture.room_changes.change(9, lambda room: None), fixture.room_changes.load(9)):
        with pytest.raises(RoomNotFound):
            await action


async def test_expired_applications_end_before_the_rule_runs() -> None:
    fixture = RoomChangesFixture(BERT, CARL)
    fixture.store.change(1, lambda room: room.apply(BERT, NOW), BERT.user_id)
    await fixture.room_changes.change(1, apply(CARL), CARL.user_id)
    assert ("publish", 1, (2, "micro_refuse"), (3, "micro_apply")) in fixture.take_calls()
    assert list(fixture.room().applications) == [CARL.user_id]


async def test_the_end_of_a_live_stands_when_what_follows_it_fails() -> None:
    fixture = RoomChangesFixture(BERT)

    async def fail(_live_id: int, _epoch: str) -> None:
        raise ConnectionError

    fixture.store.complete = fail
    with capture_logs() as lines:
        await fixture.room_changes.change(1, lambda room: room.end(HOST.user_id), HOST.user_id)
    assert fixture.take_calls() == [("save", 1, 1), ("publish", 1, (1, "live_end"))]
    assert [(line["event"], line["error"]) for line in lines] == [
        ("memberships_cleanup_failed", "ConnectionError")
    ]


class Recorder:
    """A batch_data that records what it is to read and to write."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.writes: list[str] = []
        self.batch_data = BatchData(self.read, self.write)

    async def read(self, requests: Sequence[str]) -> str:
        self.reads.append([*requests])
        return f"prepared {len(self.reads)}"

    def write(self, context: str, _batch: Any) -> None:
        self.writes.append(context)


async def test_expiry_alone_writes_nothing_prepared_in_the_transaction() -> None:
    fixture, recorder = RoomChangesFixture(BERT), Recorder()
    fixture.store.change(1, lambda room: room.apply(BERT, NOW), BERT.user_id)
    change = fixture.room_changes.change_with(1, recorder.batch_data, "r", lambda _r, _c: False)
    assert await change is False
    assert fixture.take_calls() == [("save", 1, 2), ("publish", 1, (2, "micro_refuse")), AUDIENCE]
    assert recorder.writes == []


# ---- batches


def conflict() -> None:
    """What another process has written is noticed by the guarded write."""
    raise WriteConflict


async def change_together(
    fixture: RoomChangesFixture, *changes: Callable[[], Awaitable[Any]]
) -> list[Any]:
    """The results of changes that queue up while the room is being changed."""
    started, over = asyncio.Event(), asyncio.Event()

    async def wait(_requests: Sequence[None]) -> None:
        started.set()
        await over.wait()

    first = fixture.room_changes.change_with(1, BatchData(wait), None, lambda _r, _c: None)
    tasks = [asyncio.ensure_future(first)]
    await started.wait()
    tasks += [asyncio.ensure_future(change()) for change in changes]
    await asyncio.sleep(0)
    over.set()
    return (await asyncio.gather(*tasks, return_exceptions=True))[1:]


async def test_changes_that_queue_up_are_saved_by_one_write_in_order() -> None:
    fixture = RoomChangesFixture(BERT, CARL)
    room_changes = fixture.room_changes
    await change_together(
        fixture, *(lambda p=p: room_changes.change(1, apply(p), p.user_id) for p in (BERT, CARL))
    )
    published = ("publish", 1, (1, "micro_apply"), (2, "micro_apply"))
    assert fixture.take_calls() == [("save", 1, 1, 2), published, AUDIENCE]
    assert fixture.store.loads == 2, "one for the change under way, one for the batch"


async def test_a_bug_in_a_rule_or_its_batch_data_fails_its_caller_only() -> None:
    fixture = RoomChangesFixture(BERT, CARL)
    room_changes = fixture.room_changes

    async def fail(_requests: Sequence[None]) -> None:
        raise ZeroDivisionError

    def close_and_fail(room: Room) -> None:
        room.close("host")
        raise ZeroDivisionError

    results = await change_together(
        fixture,
        lambda: room_changes.change(1, apply(BERT), BERT.user_id),
        lambda: room_changes.change(1, close_and_fail),
        lambda: room_changes.change_with(1, BatchData(fail), None, lambda r, _: r.close("host")),
        lambda: room_changes.change(1, apply(CARL), CARL.user_id),
    )
    failed = [isinstance(result, ZeroDivisionError) for result in results]
    assert failed == [False, True, True, False]
    with pytest.raises(ZeroDivisionError):
        await room_changes.change(1, close_and_fail)
    assert fixture.room().live
    assert len(fixture.room().applications) == 2


async def test_a_conflict_repeats_the_whole_batch_and_prepares_again() -> None:
    fixture, recorder = RoomChangesFixture(BERT, CARL), Recorder()
    room_changes = fixture.room_changes
    fixture.store.before_save = iter([conflict] * 2)
    await change_together(
        fixture,
        *(
            lambda p=p: room_changes.change_with(
                1, recorder.batch_data, p.nickname, lambda r, _: apply(p)(r), p.user_id
            )
            for p in (BERT, CARL)
        ),
    )
    assert recorder.reads == [[BERT.nickname, CARL.nickname]] * 3
    assert recorder.writes[-1] == "prepared 3"
    published = ("publish", 1, (1, "micro_apply"), (2, "micro_apply"))
    assert fixture.take_calls() == [("save", 1, 1, 2), published, AUDIENCE]
    assert room_changes.conflict_retries == 2


async def test_a_failed_save_fails_every_change_of_its_batch() -> None:
    """A refusal may rest on a change of the same batch that was not saved either."""
    fixture = RoomChangesFixture(BERT, CARL)
    room_changes = fixture.room_changes

    def fail() -> None:
        raise TryAgain

    fixture.store.before_save = iter([fail])
    results = await change_together(
        fixture,
        lambda: room_changes.change(1, lambda r: r.accept(BERT, "open", "b", ""), BERT.user_id),
        lambda: room_changes.change(1, lambda r: r.accept(CARL, "open", "c", ""), CARL.user_id),
    )
    assert [type(result) for result in results] == [TryAgain, TryAgain]


async def test_a_user_who_enters_from_another_room_meanwhile_fails_alone() -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.enter(CARL, live_id=2)
    room_changes = fixture.room_changes
    results = await change_together(
        fixture,
        lambda: room_changes.change(1, lambda r: r.enter(CARL, NOW), CARL.user_id),
        lambda: room_changes.change(1, apply(BERT), BERT.user_id),
    )
    assert [type(result) for result in results] == [TryAgain, type(None)]
    assert fixture.store.members[CARL.user_id].live_id == 2


# ---- conflicts with other processes


async def test_endless_write_conflicts_end_in_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.retry, "CONFLICT_SECONDS", 0.05)
    fixture = RoomChangesFixture(BERT)
    fixture.store.before_save = itertools.repeat(conflict)
    with pytest.raises(TryAgain):
        await fixture.room_changes.change(1, apply(BERT), BERT.user_id)
    assert fixture.take_calls() == []
