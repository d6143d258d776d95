"""Gifts given by several processes at once, on a real MongoDB."""

import asyncio
from itertools import permutations
from typing import Any

import pytest

from ledger.errors import InsufficientGold, RequestIdReused
from ledger.journal import JsonObject
from storage.gold.ledger import LedgerStore
from tests.support.gift_fixture import (
    GiftFixture,
    count_types,
    event_references,
    in_room_or_not,
)
from tests.support.storage import StoresFixture, rose

# ---- concurrent gifts


@in_room_or_not
async def test_concurrent_gifts_never_overdraw_a_balance(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (40, 15), (0, 0), in_room=in_room)
    results = await asyncio.gather(
        *(process.give(fixture.rose()) for process in fixture.processes(8)),
        return_exceptions=True,
    )
    assert count_types(results) == {dict: 5, InsufficientGold: 3}
    assert await fixture.balances() == [(0, 5), (0, 25)]
    assert len(await stores.entries()) == 5
    await fixture.check()


@in_room_or_not
async def test_concurrent_gifts_in_both_directions_lose_nothing(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    pairs = [(anna, bert), (bert, anna)] * 4
    await asyncio.gather(
        *(p.give(rose(*pair)) for p, pair in zip(fixture.processes(8), pairs, strict=True))
    )
    assert await fixture.balances() == [(60, 20), (60, 20)]
    await fixture.check()


async def test_two_processes_give_every_gift_of_a_busy_room_once(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, *[(100, 0)] * 5)
    pairs = [*permutations(fixture.user_ids, 2)]
    processes = fixture.processes(2)
    answers = await asyncio.gather(
        *(p.give(rose(*pair, f"{n}")) for p in processes for n, pair in enumerate(pairs))
    )
    assert len(answers) == 40
    again = await asyncio.gather(
        *(fixture.process.give(rose(*pair, f"{n}")) for n, pair in enumerate(pairs))
    )
    assert again == answers[:20] == answers[20:]
    assert await fixture.balances() == [(60, 20)] * 5
    assert await fixture.event_types() == ["gift"] * 20
    await fixture.check()


async def test_gifts_of_two_processes_in_a_busy_room_are_published_once(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (200, 0), (200, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    one, two = fixture.processes(2)
    answers = await asyncio.gather(
        *(one.give(rose(anna, carl)) for _ in range(20)),
        *(two.give(rose(bert, carl)) for _ in range(20)),
    )
    assert count_types(answers) == {dict: 40}
    assert await fixture.balances() == [(0, 0), (0, 0), (0, 200)]
    published = sorted([*one.published, *two.published])
    assert published == [(fixture.live_id, seq, "gift") for seq in range(1, 41)]
    assert sorted(event_references(await stores.entries())) == [
        (fixture.live_id, "e1", seq) for seq in range(1, 41)
    ]
    await fixture.check()


# ---- changes between read and write


@in_room_or_not
async def test_a_concurrent_grant_is_not_lost(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    (other,) = fixture.processes(1)
    grants = [
        lambda n=n: other.ledger_service.grant(anna, 50, "test", f"g{n}", "ops") for n in range(3)
    ]
    fixture.process.gift_batches.before_write = [*grants]
    answer = await fixture.process.give(rose(anna, bert, "r"))
    assert answer == {"status": "success", "gold": 150, "income": 0}
    assert await fixture.balances() == [(150, 0), (0, 5)]
    assert fixture.process.keeper.conflict_retries == (3 if in_room else 0)
    await fixture.check()


async def test_concurrent_grants_to_users_of_a_batch_are_not_lost(
    stores: StoresFixture,
) -> None:
    fixture = await GiftFixture.create(stores, (20, 0), (10, 0), (0, 0))
    anna, bert, carl = fixture.user_ids
    (other,) = fixture.processes(1)
    fixture.process.gift_batches.before_write = [
        lambda: other.ledger_service.grant(anna, 50, "test", "g1", "ops"),
        lambda: other.ledger_service.grant(bert, 50, "test", "g2", "ops"),
        lambda: other.ledger_service.grant(carl, 50, "test", "g3", "ops"),
    ]
    results = await fixture.give_queued(*(rose(sender, carl) for sender in (anna, bert, anna)))
    assert count_types(results) == {dict: 3}
    assert await fixture.balances() == [(50, 0), (50, 0), (50, 15)]
    assert await fixture.event_types() == ["gift"] * 3
    await fixture.check()


@in_room_or_not
async def test_gold_spent_concurrently_cannot_be_spent_again(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    (other,) = fixture.processes(1)
    fixture.process.gift_batches.before_write = [lambda: other.give(fixture.rose("first"))]
    with pytest.raises(InsufficientGold):
        await fixture.process.give(fixture.rose("second"))
    assert [entry["_id"].rpartition(":")[2] for entry in await stores.entries()] == ["first"]
    assert await fixture.balances() == [(0, 0), (0, 5)]
    await fixture.check()


@in_room_or_not
@pytest.mark.parametrize("gold", [0, 10])
async def test_a_concurrent_gift_with_the_same_id_is_the_answer(
    stores: StoresFixture, in_room: bool, gold: int
) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    (other,) = fixture.processes(1)
    answers: list[JsonObject] = []

    async def give() -> None:
        answers.append(await other.give(fixture.rose("r", gold=gold)))

    fixture.process.gift_batches.before_write = [give]
    answers.append(await fixture.process.give(fixture.rose("r", gold=gold)))
    assert answers == [{"status": "success", "gold": 10 - gold, "income": 0}] * 2
    assert len(await stores.entries()) == 1
    await fixture.check()


@in_room_or_not
@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
async def test_a_concurrent_gift_during_the_read_of_entries_is_the_answer(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, in_room: bool, early: bool
) -> None:
    """A read of the reduced balance also sees the entry: no InsufficientGold."""
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    (other,) = fixture.processes(1)
    read_written, answers = LedgerStore._written, []

    async def read_and_give(store: Any, keys: Any) -> Any:
        monkeypatch.undo()
        if early:
            answers.append(await other.give(fixture.rose("r")))
        rows = await read_written(store, keys)
        if not early:
            answers.append(await other.give(fixture.rose("r")))
        return rows

    monkeypatch.setattr(LedgerStore, "_written", read_and_give)
    answers.append(await fixture.process.give(fixture.rose("r")))
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 2
    assert "confirmed" not in fixture.process.gift_batches.loaded
    await fixture.check()


@in_room_or_not
async def test_a_concurrent_gift_with_the_same_id_and_other_content_refuses(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    (other,) = fixture.processes(1)
    fixture.process.gift_batches.before_write = [lambda: other.give(fixture.rose("r", num=2))]
    with pytest.raises(RequestIdReused):
        await fixture.process.give(fixture.rose("r"))
    assert await fixture.balances() == [(80, 0), (0, 10)]
