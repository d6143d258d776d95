"""Items of the queue on a real MongoDB."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import NotFound, TryAgain, WriteConflict
from rooms.moderation import Item, Verdict
from storage.database import Database
from storage.errors import AlreadyDecided
from storage.moderation import FREE_SECONDS, UserBlockStore, new_item_id
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock

USER = "10000001"
LEASE = timedelta(minutes=1)


def item(kind: Any = "nickname", **fields: Any) -> Item:
    now = datetime.now(UTC)
    values = {"value": "new", "before": "old", "due_at": now, "created_at": now, **fields}
    return Item(new_item_id(), kind, values.pop("user_id", USER), **values)


async def test_a_newer_proposal_supersedes_the_older_and_keeps_what_was_shown(
    stores: StoresFixture,
) -> None:
    items, first, second = stores.moderation, item(), item(value="newer", before="new")
    await stores.rows("users").insert_one({"_id": USER, "nickname": "old"})
    await items.put(first)
    await items.put(second)
    assert (await items.get(first.id)).state == "superseded"
    assert [found.before for found in (await items.open_of(USER)).values()] == ["old"]
    await items.put(item("cover"))
    assert (await items.open_of(USER)).keys() == {"nickname", "cover"}
    await items.put(replace(first, id=""))
    assert (await items.open_of(USER)).keys() == {"nickname", "cover"}
    with pytest.raises(TryAgain):  # the caller has read "new" as shown
        await items.put(replace(second, id="", state="approved"))
    await items.put(replace(first, id="", state="approved"))
    assert (await items.open_of(USER)).keys() == {"cover"}


async def test_a_value_that_is_proposed_again_does_not_return_when_it_is_refused(
    stores: StoresFixture,
) -> None:
    items, again = stores.moderation, item(value="old", before="new")
    await stores.rows("users").insert_one({"_id": USER, "nickname": "old"})
    for proposed in (item(), again):
        await items.put(proposed)
    assert (await items.get(again.id)).before == ""


async def test_a_picture_that_was_decided_meanwhile_is_not_refused(stores: StoresFixture) -> None:
    items, proposed, now = stores.moderation, item("face"), datetime.now(UTC)
    await items.add(proposed)
    await items.save(proposed, proposed.decide("olga", "", now, approved=True))
    with pytest.raises(AlreadyDecided):
        await items.refuse_picture(proposed, proposed.decide("pavel", "", now, approved=False))


async def test_of_proposals_at_the_same_time_one_is_open(stores: StoresFixture) -> None:
    proposals = [item(value=f"name {n}") for n in range(6)]
    await asyncio.gather(*(stores.moderation.put(one) for one in proposals))
    states = [(await stores.moderation.get(one.id)).state for one in proposals]
    assert sorted(states) == ["superseded"] * 5 + ["unchecked"]


async def test_a_decided_item_is_applied_by_its_operator_or_by_the_job_later(
    stores: StoresFixture,
) -> None:
    items, proposed, now = stores.moderation, item(), datetime.now(UTC)
    await items.add(proposed)
    approved = await items.save(proposed, proposed.decide("olga", "", now, approved=True))
    with pytest.raises(WriteConflict):
        await items.save(proposed, proposed.decide("pavel", "", now, approved=False))
    assert approved.must_apply
    assert (await items.open_of(USER)) == {}
    assert await items.claim(LEASE) is None
    await stores.rows("moderation_items").update_one({}, {"$set": {"due_at": now}})
    claimed = await items.claim(LEASE)
    assert claimed is not None
    assert claimed.id == proposed.id
    await items.save(approved, approved.note_applied())
    with pytest.raises(NotFound):
        await items.get("none")


async def test_items_are_found_by_their_check_and_counted_by_kind(stores: StoresFixture) -> None:
    items, now = stores.moderation, datetime.now(UTC)
    refused = item("nickname", value="rude").note_verdict(Verdict("risky"), now)
    waiting = item("face").note_verdict(Verdict("review"), now)
    sent = item("cover", user_id="10000002").note_sent("trace", now)
    for one in (refused, waiting, sent, item("report", state="review"), item("report")):
        await items.add(one)
    found = await items.by_trace("trace")
    assert found is not None
    assert found.id == sent.id
    assert await items.by_trace("other") is None
    in_review, end = await items.page("", 3, kind="", state=["review"])
    assert ({row.kind for row in in_review}, end) == ({"report", "face"}, None)
    counts, oldest = await items.open_counts()
    assert counts == {"face": 1, "cover": 1, "report": 2}
    assert oldest.keys() == counts.keys()


async def test_decided_items_expire(stores: StoresFixture) -> None:
    rows, proposed, now = stores.rows("moderation_items"), item(), datetime.now(UTC)
    await stores.moderation.add(proposed)
    await stores.moderation.add(item("report"))
    decided = proposed.decide("olga", "", now, approved=False)
    await stores.moderation.save(proposed, decided)
    (row,) = await rows.find({"expires_at": {"$gt": now + timedelta(days=179)}}).to_list()
    assert row["_id"] == proposed.id
    assert await rows.count_documents({"expires_at": {"$exists": True}}) == 1


# ---- blocks between users


async def test_a_block_is_seen_at_once_here_and_half_a_second_later_elsewhere(
    database: Database, clock: Clock
) -> None:
    here, elsewhere = UserBlockStore(database), UserBlockStore(database)
    for store in (here, elsewhere):
        for other in ("bert", "carl", "dora"):
            assert not await store.are_apart("anna", other)
    await here.put("dora", "anna")
    assert await here.are_apart("anna", "dora")
    assert not await elsewhere.are_apart("anna", "dora")
    clock.now += FREE_SECONDS
    assert await elsewhere.are_apart("anna", "dora")
    await here.drop("dora", "anna")
    assert not await elsewhere.are_apart("anna", "dora")
