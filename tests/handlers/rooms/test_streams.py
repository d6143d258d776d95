"""Streams that CSS finds suspicious, and recordings that fail."""

from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest

from rooms.moderation import Item
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import until_delivered
from tests.support.mic import report_stream, stream_of, take_seat

FORBIDDEN = (403, "stream_forbidden")


def is_forbidden(server: ServerProcess, stream: str) -> bool:
    """Whether CSS refuses a push of the stream."""
    assert server.simulator
    return server.simulator.live_streaming.forbidden.get(stream, 0) > time()  # type: ignore[union-attr]


async def items_of(server: ServerProcess, client: ApiClient) -> list[Item]:
    items, _ = await server.context.stores.moderation.page("", 20, kind="stream", user_id=client.id)
    return items


async def host_with_stream(api: ApiFixture) -> tuple[ApiClient, str]:
    host = await api.host()
    return host, stream_of((await host.post("qlive_room/matchmaker_enter/")).ok())


async def test_a_suspicious_stream_waits_for_an_operator_once(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host, stream = await host_with_stream(api)
    for event in (
        {"score": 59},
        {"suggestion": "Pass"},
        {"report": "forged"},
        {"stream": "10000000_" + 24 * "0"},
        {"stream": "room_1"},
    ):
        await report_stream(api, server, **{"stream": stream, **event})
    assert await items_of(server, host) == []
    for event in (
        {"suggestion": "Review", "score": 12, "report": "twice"},
        {"score": 61},
        {"event": "sound", "score": 89},
    ):
        await report_stream(api, server, stream, **event)
    (item,) = await items_of(server, host)
    assert (item.state, item.live_id, item.label) == ("review", host.live_id, "Sexy")
    url = f"http://example.com/{stream}.jpg"
    decision = {"approved": True, "state": "review"}
    (await api.ops("POST", f"moderation/{item.id}/decide", **decision)).ok()
    for readable_by_viewers in ("moderation", "audit"):
        answer = await api.ops("GET", readable_by_viewers)
        assert item.user_id in answer.text
        assert url not in answer.text
    evidence = (await api.ops("GET", f"moderation/{item.id}/evidence")).ok()["evidence"]
    assert evidence["url"] == url
    assert item.evidence.items() >= {"medium": "picture", "score": 12, "stream": stream}.items()
    assert not is_forbidden(server, stream)
    reports = [*db.inbox.find({"source": "live", "genuine": True})]
    assert {row["outcome"] for row in reports} == {"done", "ignored"}
    assert {row["raw"] for row in reports} == {""}, "what is said in a stream is in its item alone"
    assert (await host.post("qlive_room/matchmaker_enter/")).ok()


async def test_a_guest_loses_the_seat_for_a_bad_picture_until_an_operator_approves_it(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    room = {"live_id": host.live_id}

    await take_seat(bert)
    stream = stream_of((await bert.post("qlive_room/accept_micro/", **room)).ok())
    socket = await host.watch()
    await report_stream(api, server, stream, score=90, report="twice")
    left = (await socket.next("micro_leave"))["data"]
    assert (left["user_id"], left["reason"]) == (bert.id, "moderation")
    await until_delivered(server)
    assert is_forbidden(server, stream)
    assert (await bert.get("get_playurl/", **room)).ok()["push_url"] == ""
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    assert (await bert.post("qlive_room/accept_micro/", **room)).refusal == FORBIDDEN
    (item,) = await items_of(server, bert)
    await server.context.services.decisions.decide(item.id, item.state, "op", approved=True)
    await report_stream(api, server, stream, score=91)
    await take_seat(bert)


async def test_the_live_ends_for_a_bad_stream_of_its_host_who_may_return_after_a_while(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host, stream = await host_with_stream(api)
    socket = await host.watch()
    await report_stream(api, server, stream, suggestion="Block", score=1)
    assert (await socket.next("live_end"))["data"]["reason"] == "moderation"
    assert (await host.post("qlive_room/matchmaker_enter/")).refusal == FORBIDDEN
    over = {"$set": {"stream_forbidden_until": datetime.now(UTC)}}
    db.users.update_one({"_id": host.id}, over)
    (await host.post("qlive_room/matchmaker_enter/")).ok()


async def test_an_operator_who_refuses_a_stream_stops_it(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, stream = await host_with_stream(api)
    socket = await host.watch()
    await report_stream(api, server, stream, event="sound", score=60)
    (item,) = await items_of(server, host)
    await server.context.services.decisions.decide(
        item.id, item.state, "op", "rude", approved=False
    )
    assert (await socket.next("live_end"))["data"]["reason"] == "moderation"
    await until_delivered(server)
    assert is_forbidden(server, stream)


async def test_approving_a_stream_frees_no_user_of_whom_another_was_stopped(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)

    async def report(letter: str, score: int) -> Item:
        await report_stream(api, server, f"{anna.id}_{24 * letter}", score=score)
        return (await items_of(server, anna))[0]

    async def until_after(item: Item, *, approved: bool) -> datetime | None:
        decide = server.context.services.decisions.decide
        await decide(item.id, item.state, "op", "why", approved=approved)
        return (await server.context.stores.users.get(anna.id)).stream_forbidden_until

    first, second = await report("a", 90), await report("b", 90)
    day = timedelta(days=1)
    assert await until_after(second, approved=True) == first.created_at + day, "one is undecided"
    assert await until_after(first, approved=True) is None
    refused = await report("c", 61)
    assert await until_after(refused, approved=False)
    refused = await server.context.stores.moderation.get(refused.id)
    assert refused.decided_at
    until = refused.decided_at + day
    assert await until_after(await report("d", 90), approved=True) == until, "one is refused"
    db.moderation_items.update_one({"_id": refused.id}, {"$set": {"decided_at": until - 3 * day}})
    await until_after(await report("e", 90), approved=True)
    assert (await server.context.stores.users.get(anna.id)).may_stream


async def test_a_guest_whose_stream_is_allowed_while_away_gets_a_seat_again(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert, room = await api.guest("bert", 1, host.live_id), {"live_id": host.live_id}
    await report_stream(api, server, f"{bert.id}_{24 * 'a'}", score=90)
    (await bert.get("qlive_room/leave_room/", **room)).ok()
    (item,) = await items_of(server, bert)
    decide = server.context.services.decisions.decide
    await decide(item.id, item.state, "op", "fine", approved=True)
    (await bert.get("get_playurl/", **room)).ok()
    await take_seat(bert)


async def test_a_late_report_leaves_nothing_of_a_deleted_user(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    db.users.update_one({"_id": anna.id}, {"$set": {"deleted_at": datetime.now(UTC)}})
    before = db.users.find_one({"_id": anna.id})
    for score in (61, 90):
        await report_stream(api, server, f"{anna.id}_{24 * 'a'}", score=score)
    assert await items_of(server, anna) == []
    assert db.users.find_one({"_id": anna.id}) == before
    stored = [(row["reason"], row["raw"]) for row in db.inbox.find({"source": "live"})]
    assert stored == [("unknown_stream", "")] * 2


async def test_a_seat_or_live_that_begins_while_the_stream_is_forbidden_ends(
    api: ApiFixture, server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    bert, room = await api.guest("bert", 1, host.live_id), {"live_id": host.live_id}
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    streams, room_changes = server.context.tencent.stream_urls, server.context.room_changes
    new_stream = streams.new_stream

    def forbid_meanwhile(user_id: str) -> str:
        """After the user was read, before the seat is saved."""
        until = datetime.now(UTC) + timedelta(hours=1)
        db.users.update_one({"_id": user_id}, {"$set": {"stream_forbidden_until": until}})
        ban = {f"stream_bans.{user_id}": int(until.timestamp() * 1000)}
        db.rooms.update_one({"_id": host.live_id}, {"$set": ban})
        return new_stream(user_id)

    monkeypatch.setattr(streams, "new_stream", forbid_meanwhile)
    assert (await bert.post("qlive_room/accept_micro/", **room)).refusal == FORBIDDEN
    assert (await room_changes.load(host.live_id)).seat_of(bert.id) is None
    (await host.post("qlive_room/live_end/", **room)).ok()
    assert (await host.post("qlive_room/matchmaker_enter/")).refusal == FORBIDDEN
    assert not (await room_changes.load(host.live_id)).live


async def test_a_failed_recording_needs_a_person(api: ApiFixture, server: ServerProcess) -> None:
    _, stream = await host_with_stream(api)
    await report_stream(api, server, stream, event="record_error")
    counted = (await api.metrics())['qlive_platform_events_total{event="record_error"}']
    [shown] = (await api.ops("GET", "overview")).ok()["attention"]
    assert (counted, shown["event"], shown["times"]) == (1, "record_error", 1)
