import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from storage.database import Database
from storage.inbox import (
    KEPT,
    QUERY_BYTES,
    RAW_BYTES,
    REFUSED_BYTES,
    REFUSED_KEPT,
    REFUSED_PLACES,
    Inbox,
    Note,
)
from tests.storage.test_pages import reads

gen_test = pytest.mark.gen_test(timeout=60)
NOTE = Note("im", "1", "CallbackCommand=State.StateChange", '{"EventTime": 5, "名": "\x00"}')


@pytest.fixture
def inbox(io_loop: IOLoop, database: Database) -> Inbox:
    inbox = Inbox(database)
    io_loop.run_sync(inbox.make_indexes)
    return inbox


async def rows(database: Database) -> list[dict[str, Any]]:
    return await database.collection("inbox").find().sort("_id", 1).to_list()


async def row(database: Database) -> dict[str, Any]:
    (only,) = await rows(database)
    return only


def is_about(moment: datetime, wanted: datetime) -> bool:
    return abs(moment - wanted) < timedelta(minutes=2)


@gen_test
async def test_a_note_is_kept_as_it_came_until_it_is_settled(
    inbox: Inbox, database: Database
) -> None:
    assert await inbox.receive(NOTE) == "received"
    kept = await row(database)
    now = datetime.now(UTC)
    assert is_about(kept.pop("received_at"), now)
    assert is_about(kept.pop("expires_at"), now + KEPT)
    assert kept == {
        "_id": "im:1",
        "source": "im",
        "query": NOTE.query,
        "raw": NOTE.raw,
        "genuine": True,
        "outcome": "received",
        "reason": "",
        "times": 1,
    }
    await inbox.settle(NOTE, "done")
    assert ((await row(database))["outcome"], (await row(database))["reason"]) == ("done", "")


@gen_test
async def test_a_settled_note_is_not_carried_out_again_but_counted(
    inbox: Inbox, database: Database
) -> None:
    assert await inbox.receive(NOTE) == "received"
    await inbox.settle(NOTE, "ignored", "not_in_a_room")
    for _ in range(11):
        assert await inbox.receive(replace(NOTE, raw="other")) != "received"
    kept = await row(database)
    assert (kept["times"], kept["outcome"], kept["reason"]) == (12, "ignored", "not_in_a_room")
    assert kept["raw"] == NOTE.raw


@gen_test
async def test_a_note_whose_effect_was_cut_short_is_carried_out_when_it_comes_again(
    inbox: Inbox,
) -> None:
    assert await inbox.receive(NOTE) == "received"
    assert await inbox.receive(NOTE) == "received"
    await inbox.settle(NOTE, "done")
    assert await inbox.receive(NOTE) != "received"


@gen_test
async def test_of_two_who_settle_a_note_the_first_is_right(
    inbox: Inbox, database: Database
) -> None:
    await inbox.receive(NOTE)
    await inbox.settle(NOTE, "done")
    await inbox.settle(NOTE, "ignored", "old_event")
    assert (await row(database))["outcome"] == "done"


@gen_test
async def test_the_same_note_many_times_at_once_is_one(inbox: Inbox, database: Database) -> None:
    await asyncio.gather(*(inbox.receive(NOTE) for _ in range(12)))
    assert (await row(database))["times"] == 12


@gen_test
async def test_the_same_id_from_another_source_is_another_note(
    inbox: Inbox, database: Database
) -> None:
    await inbox.receive(NOTE)
    await inbox.settle(NOTE, "done")
    assert await inbox.receive(replace(NOTE, source="live")) == "received"
    assert len(await rows(database)) == 2


@gen_test
async def test_a_refused_note_is_kept_with_its_reason_for_a_week(
    inbox: Inbox, database: Database
) -> None:
    for reason in ("sign", "sign", "stale"):
        await inbox.refuse(NOTE, reason)
    kept = await row(database)
    assert (kept["outcome"], kept["reason"], kept["times"]) == ("refused", "stale", 3)
    assert (kept["source"], kept["query"], kept["raw"]) == ("im", NOTE.query, NOTE.raw)
    assert is_about(kept["expires_at"], datetime.now(UTC) + REFUSED_KEPT)


@gen_test
async def test_a_refused_note_never_stands_in_the_way_of_the_genuine_one(
    inbox: Inbox, database: Database
) -> None:
    await inbox.refuse(NOTE, "sign")
    assert await inbox.receive(NOTE) == "received"
    await inbox.settle(NOTE, "done")
    await inbox.refuse(NOTE, "stale")
    assert sorted(kept["outcome"] for kept in await rows(database)) == ["done", "refused"]
    assert await inbox.receive(NOTE) != "received"


@gen_test
async def test_a_flood_of_forgeries_takes_no_more_places_than_there_are(
    inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REFUSED_PLACES * (REFUSED_BYTES + QUERY_BYTES) <= 21 * 1024 * 1024
    monkeypatch.setattr("storage.inbox.REFUSED_PLACES", 8)
    for number in range(100):
        await inbox.refuse(replace(NOTE, id=str(number)), "sign")
    kept = await rows(database)
    assert len(kept) <= 8
    assert sum(one["times"] for one in kept) == 100


@gen_test
async def test_what_is_very_long_is_cut(inbox: Inbox, database: Database) -> None:
    long = replace(NOTE, query="q" * 100_000, raw="名" * 100_000)
    await inbox.receive(long)
    await inbox.refuse(long, "sign")
    lengths = {one["outcome"]: size(one) for one in await rows(database)}
    assert lengths == {
        "received": (QUERY_BYTES, RAW_BYTES // 3 * 3),  # whole characters, of three bytes each
        "refused": (QUERY_BYTES, REFUSED_BYTES // 3 * 3),
    }


def size(row: dict[str, Any]) -> tuple[int, int]:
    return len(row["query"].encode()), len(row["raw"].encode())


@gen_test
async def test_notes_die_at_the_time_that_they_name(inbox: Inbox, database: Database) -> None:
    await inbox.make_indexes()
    found = await database.collection("inbox").index_information()
    assert found["expires_at_1"]["expireAfterSeconds"] == 0


@gen_test
async def test_a_refusal_for_what_it_says_is_remembered_until_somebody_opens_it_again(
    inbox: Inbox,
) -> None:
    await inbox.receive(NOTE)
    await inbox.settle(NOTE, "refused", "amount")
    assert await inbox.receive(NOTE) == "refused"
    row = await inbox.find("im:1")
    assert row
    assert (row["outcome"], row["reason"]) == ("refused", "amount")
    assert await inbox.reopen("im:1")
    assert await inbox.receive(NOTE) == "received"


@gen_test
async def test_what_is_not_genuine_is_not_opened_again(inbox: Inbox, database: Database) -> None:
    await inbox.refuse(NOTE, "sign")
    name = (await row(database))["_id"]
    assert not await inbox.reopen(name)
    assert not await inbox.reopen("im:0")
    assert await inbox.find("im:0") is None


@gen_test
async def test_operators_see_the_newest_first_and_what_they_ask_for(inbox: Inbox) -> None:
    for number in range(3):
        await inbox.receive(replace(NOTE, id=str(number)))
    await inbox.settle(replace(NOTE, id="1"), "done")
    await inbox.refuse(replace(NOTE, source="live"), "sign")
    rows, more = await inbox.page("", "", "", 10)
    assert (sorted(row["source"] for row in rows), more) == (["im", "im", "im", "live"], None)
    found, _ = await inbox.page("im", "done", "", 10)
    assert [row["_id"] for row in found] == ["im:1"]


@gen_test
async def test_what_is_lasting_is_kept_for_good_and_nothing_else(
    inbox: Inbox, database: Database
) -> None:
    await inbox.receive(NOTE)
    await inbox.settle(NOTE, "ignored", "unknown_event")
    other = replace(NOTE, id="other")
    await inbox.receive(other)
    await inbox.settle(other, "done", lasting=True)
    ends = {found["outcome"]: found["expires_at"] for found in await rows(database)}
    assert is_about(ends["ignored"], datetime.now(UTC) + KEPT)
    assert ends["done"] is None


@gen_test
async def test_a_report_is_found_by_its_start_with_or_without_its_source_or_by_its_order(
    inbox: Inbox, database: Database
) -> None:
    order = "Q20260101000000aaaa"
    names = ("xpay:xpay_goods_deliver_notify:" + order + ":0a0b", "jsapi:EV-1", "im:0a0b0c")
    for name in names:
        source, _, number = name.partition(":")
        await inbox.receive(replace(NOTE, source=source, id=number))
    for said, wanted in (
        (order, names[0]),
        (order[:6], names[0]),
        (names[0], names[0]),
        ("EV-", names[1]),
        ("0a0b", names[2]),
        ("im:", names[2]),
    ):
        found, _ = await inbox.page("", "", "", 10, said=said)
        assert [row["_id"] for row in found] == [wanted], said
    for said in ("EV.", "V-1", ".*"):
        assert await inbox.page("", "", "", 10, said=said) == ([], None), said
    assert await inbox.page("im", "", "", 10, said=order) == ([], None)


@gen_test
async def test_operators_read_the_reports_they_see_and_not_all(
    inbox: Inbox, database: Database
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"_id": f"jsapi:EV-{n:04}", "outcome": "done", "received_at": start + timedelta(seconds=n)}
        for n in range(3000)
    ]
    await database.collection("inbox").insert_many(rows)
    async with reads(database, "inbox") as read:
        for said in ("EV-1500", "jsapi:EV-1500"):
            found, _ = await inbox.page("", "", "", 10, said=said)
            assert len(found) == 1
        await inbox.page("", "done", "", 10)
    assert all(one <= 30 for one in read), read
    assert len(read) == 3
