"""Gifts on a real MongoDB: postings, events and idempotency."""

import asyncio

import pytest

from ledger.errors import InsufficientGold, RequestIdReused
from rooms.members import Person
from storage.errors import UserNotFound
from tests.support.gift_fixture import (
    NO_EVENT,
    GiftFixture,
    count_types,
    event_references,
    in_room_or_not,
)
from tests.support.storage import ROSE, StoresFixture, rose

# ---- one gift


@in_room_or_not
async def test_a_gift_moves_gold_and_writes_an_entry(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (15, 3), (0, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    answer = await fixture.process.give(rose(anna, bert, "r"))
    assert answer == {"status": "success", "gold": 5, "income": 3}
    assert await fixture.balances() == [(5, 3), (0, 5)]
    (entry,) = await stores.entries()
    assert (entry["_id"], entry["kind"], entry["by"]) == (f"gift:{anna}:r", "gift", anna)
    assert entry["lines"][0] == {"account": f"user:{anna}", "unit": "gold", "amount": -10}
    assert entry["content"] == {"to": bert, "gift_id": 1, "num": 1}
    assert entry["answer"] == answer
    assert event_references([entry]) == [(fixture.live_id, "e1", 1) if in_room else NO_EVENT]
    await fixture.check()


async def test_the_event_of_a_gift_names_sender_receiver_and_gift(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    anna, bert = fixture.user_ids
    await stores.users.update(anna, nickname="Anna", face_url="https://faces/a", gender=2)
    await fixture.process.give(rose(anna, bert, "r", num=3))
    (event,) = await fixture.events()
    assert event.data == {
        "from": Person(anna, "Anna", "https://faces/a", 2).face(),
        "to": Person(bert).face(),
        "gift": ROSE,
        "num": 3,
        "gold": 30,
        "request_id": "r",
    }
    assert fixture.process.published == [(fixture.live_id, 1, "gift")]


@in_room_or_not
async def test_gold_is_spent_before_income(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (4, 10), (0, 0), in_room=in_room)
    answer = await fixture.process.give(fixture.rose())
    assert answer == {"status": "success", "gold": 0, "income": 4}
    assert await fixture.balances() == [(0, 4), (0, 5)]
    await fixture.check()


@in_room_or_not
async def test_a_free_gift_can_be_given(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (0, 0), (0, 0), in_room=in_room)
    answer = await fixture.process.give(fixture.rose("r", gold=0))
    assert answer == {"status": "success", "gold": 0, "income": 0}
    assert await fixture.process.give(fixture.rose("r", gold=0)) == answer
    assert len(await stores.entries()) == 1
    await fixture.check()


@in_room_or_not
async def test_a_gift_without_sufficient_gold_changes_nothing(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (9, 0), (0, 0), in_room=in_room)
    with pytest.raises(InsufficientGold):
        await fixture.process.give(fixture.rose("r"))
    assert await fixture.balances() == [(9, 0), (0, 0)]
    assert await stores.entries() == []
    assert not in_room or await fixture.event_types() == []


@in_room_or_not
async def test_gold_that_a_new_primary_does_not_show_yet_can_be_spent(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (9, 0), (0, 0), in_room=in_room)
    batches, transfer = fixture.process.gift_batches, fixture.rose("r")
    batches.stale = await batches.load_context([transfer])
    await fixture.process.ledger_service.grant(transfer.sender, 1, "test", "g", "ops")
    assert (await fixture.process.give(transfer))["gold"] == 0
    await fixture.check()


@in_room_or_not
async def test_repeated_gift_that_a_new_primary_does_not_show_yet_gets_its_answer(
    stores: StoresFixture, in_room: bool
) -> None:
    """The balance that it left does not suffice for another one."""
    fixture = await GiftFixture.create(stores, (15, 0), (0, 0), in_room=in_room)
    batches, transfer = fixture.process.gift_batches, fixture.rose("r")
    answer = await fixture.process.give(transfer)
    context = await batches.load_context([transfer])
    context.batch.written.clear()
    batches.stale = context
    assert await fixture.process.give(transfer) == answer
    assert await fixture.balances() == [(5, 0), (0, 5)]


@in_room_or_not
async def test_only_refusals_for_lack_of_gold_are_confirmed(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    loaded = fixture.process.gift_batches.loaded
    await fixture.process.give(fixture.rose("r"))
    await fixture.process.give(fixture.rose("r"))
    with pytest.raises(RequestIdReused):
        await fixture.process.give(fixture.rose("r", num=2))
    assert set(loaded) == {"as committed"}
    with pytest.raises(InsufficientGold):
        await fixture.process.give(fixture.rose("s"))
    assert loaded[-2:] == ["confirmed", "as committed"]


@in_room_or_not
async def test_a_refused_request_can_be_repeated(stores: StoresFixture, in_room: bool) -> None:
    fixture = await GiftFixture.create(stores, (9, 0), (0, 0), in_room=in_room)
    anna, bert = fixture.user_ids
    with pytest.raises(InsufficientGold):
        await fixture.process.give(rose(anna, bert, "r"))
    await fixture.process.ledger_service.grant(anna, 1, "test", "g", "ops")
    assert (await fixture.process.give(rose(anna, bert, "r")))["gold"] == 0
    await fixture.check()


async def test_gifts_from_or_to_unknown_users_are_refused(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), in_room=False)
    (anna,) = fixture.user_ids
    for transfer in (rose(anna, "unknown"), rose("unknown", anna)):
        with pytest.raises(UserNotFound):
            await fixture.process.give(transfer)
    assert await fixture.balances() == [(100, 0)]
    assert await stores.entries() == []


# ---- idempotency


@in_room_or_not
async def test_a_repeated_request_always_gets_the_same_answer(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    first = await fixture.process.give(fixture.rose("r"))
    await fixture.process.give(fixture.rose("s"))
    for transfer in (fixture.rose("r"), fixture.rose("r", gold=99)):
        assert await fixture.process.give(transfer) == first
    assert await fixture.balances() == [(80, 0), (0, 10)]
    assert not in_room or await fixture.event_types() == ["gift"] * 2


@in_room_or_not
@pytest.mark.parametrize("other", [{"num": 2}, {"gift_id": 2}])
async def test_a_request_id_reused_with_other_content_is_refused(
    stores: StoresFixture, in_room: bool, other: dict[str, int]
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    await fixture.process.give(fixture.rose("r"))
    with pytest.raises(RequestIdReused):
        await fixture.process.give(fixture.rose("r", **other))
    assert await fixture.balances() == [(90, 0), (0, 5)]


async def test_request_ids_are_scoped_by_sender(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (100, 0))
    anna, bert = fixture.user_ids
    await fixture.process.give(rose(anna, bert, "r"))
    await fixture.process.give(rose(bert, anna, "r"))
    assert await fixture.balances() == [(90, 5), (90, 5)]


async def test_the_answer_to_a_given_gift_can_be_found(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    anna, bert = fixture.user_ids
    service, transfer = fixture.process.gift_service, rose(anna, bert, "r")
    assert await service.find_answer(transfer) is None
    answer = await fixture.process.give(transfer)
    assert await service.find_answer(rose(anna, bert, "r")) == answer
    for other in (rose(anna, bert), rose(bert, anna, "r")):
        assert await service.find_answer(other) is None
    with pytest.raises(RequestIdReused):
        await service.find_answer(rose(anna, bert, "r", num=3))


@in_room_or_not
async def test_one_request_in_many_processes_has_one_effect_and_equal_answers(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), in_room=in_room)
    answers = await asyncio.gather(
        *(process.give(fixture.rose("same")) for process in fixture.processes(8))
    )
    assert answers == [{"status": "success", "gold": 90, "income": 0}] * 8
    assert len(await stores.entries()) == 1
    assert await fixture.balances() == [(90, 0), (0, 5)]
    assert not in_room or await fixture.event_types() == ["gift"]
    await fixture.check()


@in_room_or_not
async def test_a_request_that_empties_the_balance_gets_equal_answers_in_many_processes(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (10, 0), (0, 0), in_room=in_room)
    answers = await asyncio.gather(
        *(process.give(fixture.rose("same")) for process in fixture.processes(5))
    )
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 5


@in_room_or_not
async def test_concurrent_gifts_with_one_request_id_succeed_once(
    stores: StoresFixture, in_room: bool
) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0), (0, 0), in_room=in_room)
    anna, *receivers = fixture.user_ids
    results = await asyncio.gather(
        *(
            process.give(rose(anna, receiver, "same"))
            for process, receiver in zip(fixture.processes(2), receivers, strict=True)
        ),
        return_exceptions=True,
    )
    assert count_types(results) == {dict: 1, RequestIdReused: 1}
    assert await stores.balance(anna) == (90, 0)
    await fixture.check()


async def test_every_gift_without_a_request_id_is_new(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    golds = [(await fixture.process.give(fixture.rose()))["gold"] for _ in range(2)]
    assert golds == [90, 80]
