"""Changes by the steps of a deletion, and the data of others that they leave."""

from dataclasses import replace
from datetime import UTC, datetime

from storage.accounts.users import User
from storage.jobs.inbox import InboxMessage
from storage.operators.audit import AuditStore
from tests.support.storage import StoresFixture, profile_queries


async def erase(stores: StoresFixture, user: User) -> None:
    for step in stores.deletions.steps(user):
        await step()


async def found(audit: AuditStore, text: str) -> list[tuple[str, str]]:
    rows, _ = await audit.page("", 9, search=text)
    return [(row["on"], row["reason"]) for row in rows]


async def test_entries_of_operators_about_the_user_lose_what_they_say_and_are_found(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("wx1", "o1", nickname="Anna Banana")
    other = "12345678"
    audit, user_id = stores.audit, user.user_id
    entry = await audit.begin("finn", "POST Grant", user_id, "welcome Anna", {"gold": 9})
    await audit.done(entry, {}, {"nickname": "Banana"})
    await audit.begin("finn", "POST PutOut", "7", "", {"user_id": user_id, "name": "Banana"})
    await audit.begin("finn", "PATCH OneUser", other, f"insulted {user_id}", {"banned": True})

    await erase(stores, user)
    await erase(stores, user)
    assert await found(audit, "banana") == []
    about_other = (other, f"insulted {user_id}")
    assert await found(audit, user_id) == [about_other, ("7", ""), (user_id, "")]
    assert await found(audit, "finn grant") == [(user_id, "")]
    assert await found(audit, "finn putout") == [("7", "")]
    assert await found(audit, f"{other} insulted") == [about_other]
    rows = await stores.rows("audit").find().to_list()
    assert not [row for row in rows if "anana" in str(row)]


async def test_the_log_of_another_room_loses_the_user_and_keeps_the_events_of_others(
    stores: StoresFixture,
) -> None:
    user = User("87654321", "wx1", "o1", datetime.now(UTC))
    mine = {"from": {"user_id": user.user_id, "nickname": "anna"}, "to": {"user_id": "1"}}
    events = [{"user_id": "1", "nickname": "bert"}, mine, {"mute_all": True}]
    log = {
        str(n): {"seq": n, "ts": 5, "type": "t", "data": data} for n, data in enumerate(events, 1)
    }
    rooms = stores.rows("rooms")
    row = {"host_id": "1", "epoch": "e1", "version": 3, "log": log}
    await rooms.insert_many([{**row, "_id": 1}, {**row, "_id": 2, "host_id": user.user_id}])

    await erase(stores, user)
    stored = {row["_id"]: row["log"] async for row in rooms.find()}
    assert stored[1] == {**log, "2": {**log["2"], "data": None}}
    assert {event["data"] for event in stored[2].values()} == {None}
    assert await stores.rooms.log_since(1, "e1", 1) is None
    missed = await stores.rooms.log_since(1, "e1", 2) or ()
    assert [event.data for event in missed] == [{"mute_all": True}]


async def test_of_a_deleted_guest_a_report_keeps_the_times_of_the_dates(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("wx1", "o1")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    date = {"male": "1", "female": user.user_id, "from": start, "to": None}
    lives, report = stores.rows("lives"), {"host_id": user.user_id, "income": 9}
    await lives.insert_one({**report, "dates": [date, {**date, "female": "2"}]})

    await erase(stores, user)
    kept = await lives.find_one({}, {"_id": 0})
    assert kept == {**report, "dates": [{**date, "female": ""}, {**date, "female": "2"}]}


async def test_a_copy_that_is_made_during_the_deletion_is_not_kept(stores: StoresFixture) -> None:
    user, _ = await stores.users.create("wx1", "o1")
    await stores.exports.ask(user.user_id)
    await erase(stores, user)
    await stores.exports.make(user.user_id)
    assert await stores.rows("exports").count_documents({}) == 0


async def test_of_received_callbacks_only_pushes_of_wechat_are_searched_for_the_openid(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("wx1", "o1")
    push = InboxMessage("xpay", "0", "", '{"OpenId": "o1"}')
    for message in (push, *(replace(push, source="im", id=str(n)) for n in range(30))):
        await stores.inbox.receive(message)
    await stores.rows("users").update_one({}, {"$set": {"former": "o1"}})
    async with profile_queries(stores.database, "inbox", "update") as examined:
        await erase(stores, user)
    assert examined == [1]
    assert (await stores.inbox.find("xpay:0") or {})["raw"] == '{"OpenId": ""}'
