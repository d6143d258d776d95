"""The book on a real MongoDB: once per key, never below zero, all or nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from money.book import Entry, Heard, Purse, lines_of
from money.refusals import InsufficientGold, RequestIdReused
from money.teller import AlreadyWritten, Teller
from rooms.locks import Locks
from rooms.refusals import NoSuchUser, TryAgain
from storage import ledger as module
from storage.database import Document, Session
from storage.ledger import marks_in
from tests.storage.conftest import House, Process, rose
from tests.storage.test_pages import reads

gen_test = pytest.mark.gen_test(timeout=60)


def tellers(house: House, n: int) -> list[Teller]:
    """As many processes: each with locks of its own."""
    return [Teller(house.ledger, Locks().hold) for _ in range(n)]


@gen_test
async def test_gold_is_granted_once(house: House) -> None:
    (anna,) = await house.people((1, 2))
    answers = await asyncio.gather(
        *(t.grant(anna, 50, "prize", "g", "ops") for t in tellers(house, 5))
    )
    assert answers == [{"gold": 51, "income": 2}] * 5
    (entry,) = await house.entries()
    assert (entry["_id"], entry["note"], entry["by"]) == ("grant:g", "prize", "ops")
    with pytest.raises(NoSuchUser):
        await tellers(house, 1)[0].grant("nobody", 50, "prize", "h", "ops")


@gen_test
async def test_one_id_for_two_grants_at_once_is_used_for_one_of_them(house: House) -> None:
    (anna,) = await house.people((0, 0))
    done = await asyncio.gather(
        *(t.grant(anna, 50 + n, "prize", "g", "ops") for n, t in enumerate(tellers(house, 2))),
        return_exceptions=True,
    )
    (refused,) = [it for it in done if isinstance(it, BaseException)]
    assert isinstance(refused, RequestIdReused)
    (entry,) = await house.entries()
    assert await house.purse(anna) == (entry["content"]["gold"], 0)


@gen_test
async def test_the_key_of_an_entry_is_unique_and_a_second_one_undoes_its_transaction(
    house: House,
) -> None:
    (anna,) = await house.people((0, 0))
    lines = lines_of(anna, 5)

    async def work(session: Session) -> None:
        await house.ledger.move(session, lines)
        await house.ledger.write(session, Entry("key", "grant", "ops", lines, {}), None)

    await house.ledger.alone(work)
    with pytest.raises(AlreadyWritten) as written:
        await house.ledger.alone(work)
    assert written.value.key == "key"
    assert await house.purse(anna) == (5, 0)


async def write(house: House, entry: Entry, heard: Heard | None = None) -> None:
    await house.ledger.alone(lambda session: house.ledger.write(session, entry, heard))


@gen_test
async def test_an_entry_that_a_room_heard_of_names_the_event(house: House) -> None:
    await write(house, Entry("key", "gift", "anna", (), {"a": 1}, {"b": 2}), Heard(7, "e", 42))
    (entry,) = await house.entries()
    assert (entry["live_id"], entry["epoch"], entry["seq"]) == (7, "e", 42)
    assert await house.ledger.find("key") == ({"a": 1}, {"b": 2})
    assert await house.ledger.find("other") is None


@gen_test
async def test_an_entry_is_read_as_it_was_written(house: House) -> None:
    entry = Entry("key", "grant", "ops", lines_of("anna", 5), {"a": 1}, {"b": 2}, "a note")
    await write(house, entry)
    assert await house.ledger.entry("key") == entry
    assert await house.ledger.entry("other") is None


@gen_test
async def test_balances_move_only_together(house: House) -> None:
    anna, bert = await house.people((0, 10), (0, 0))
    lines = lines_of(anna, 5, -11) + lines_of(bert, 3)
    with pytest.raises(InsufficientGold):
        await house.ledger.alone(lambda session: house.ledger.move(session, lines))
    assert await house.purse(anna) == (0, 10)
    assert await house.purse(bert) == (0, 0)
    lines = lines_of(anna, 5, -10) + lines_of(bert, 3)
    moved = await house.ledger.alone(lambda session: house.ledger.move(session, lines))
    assert moved == {anna: Purse(5, 0), bert: Purse(3, 0)}


# ---- an entry that was seen


@gen_test
async def test_what_a_transaction_has_seen_is_waited_for_until_it_is_there_to_stay(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, looks = house.ledger.find, []

    async def find_late(key: str) -> Any:
        looks.append(key)
        if len(looks) == 3:
            await write(house, Entry("key", "grant", "ops", (), {"a": 1}, {"b": 2}))
        return await find(key)

    monkeypatch.setattr(house.ledger, "find", find_late)
    assert await house.ledger.settled("key") == ({"a": 1}, {"b": 2})
    assert looks == ["key"] * 3


@gen_test
async def test_what_was_seen_and_never_comes_is_to_be_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(TryAgain):
        await house.ledger.settled("key")


# ---- what it adds to the rankings


@gen_test
async def test_a_reversed_gift_goes_back_once_and_out_of_the_rankings(house: House) -> None:
    anna, bert = await house.people((100, 0), (0, 0))
    await Process(house).give(rose(anna, bert, "r"))
    (gift,) = await house.entries()
    scopes = {mark.scope for mark in marks_in(gift)}
    assert [await house.ranks.top(scope, "gold") for scope in scopes] == [[(anna, 10)]]
    answers = await asyncio.gather(
        *(t.reverse(gift["_id"], "by mistake", "ops") for t in tellers(house, 4))
    )
    assert answers == [{"reverses": gift["_id"]}] * 4
    assert (await house.purse(anna), await house.purse(bert)) == ((100, 0), (0, 0))
    assert [await house.ranks.top(scope, "gold") for scope in scopes] == [[]]


@gen_test
async def test_the_reversal_of_a_grant_has_nothing_to_do_with_the_rankings(house: House) -> None:
    (anna,) = await house.people((0, 0))
    (teller,) = tellers(house, 1)
    await teller.grant(anna, 50, "prize", "g", "ops")
    await teller.reverse("grant:g", "by mistake", "ops")
    assert await house.database.collection("ranks").count_documents({}) == 0
    assert [marks for entry in await house.entries() for marks in marks_in(entry)] == []


# ---- what operators search for


async def many(house: House, count: int) -> list[Document]:
    """As many entries, each of its own second; of each order one, and of each user."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[Document] = [
        {
            "_id": f"recharge:Q{n:05}" if n % 2 else f"gift:{20_000_000 + n}:r-{n}",
            "kind": "recharge" if n % 2 else "gift",
            "at": start + timedelta(seconds=n),
            "by": "test",
            "lines": [{"account": f"user:{20_000_000 + n}", "unit": "gold", "amount": 1}],
        }
        for n in range(count)
    ]
    await house.database.collection("ledger").insert_many(rows)
    return rows


@gen_test
async def test_an_entry_is_found_by_its_start_its_order_or_whose_gold_it_moves(
    house: House,
) -> None:
    rows = await many(house, 40)
    gift, recharge = rows[20]["_id"], rows[21]["_id"]
    for said, wanted in (
        (gift, gift),
        (gift[:13], gift),
        ("20000020", gift),
        (recharge, recharge),
        ("Q00021", recharge),
        ("20000021", recharge),
    ):
        found, _ = await house.ledger.page("", "", "", 50, said=said)
        assert wanted in [row["_id"] for row in found], said
    for said in ("gift.", "r-20", "2000002", "q00021"):
        assert await house.ledger.page("", "", "", 10, said=said) == ([], None), said
    assert await house.ledger.page("", "gift", "", 10, said="Q00021") == ([], None)


@gen_test
async def test_operators_read_what_they_see_and_not_the_whole_book(house: House) -> None:
    rows = await many(house, 3000)
    middle = rows[1500]
    cursor = f"{int(middle['at'].timestamp() * 1000)}.{middle['_id']}"
    async with reads(house.database, "ledger") as read:
        for said in (middle["_id"], "20001500", "Q01501"):
            found, _ = await house.ledger.page("", "", "", 10, said=said)
            assert len(found) == 1
        await house.ledger.page("", "", cursor, 10)
    assert all(one <= 60 for one in read), read
    assert len(read) == 4
