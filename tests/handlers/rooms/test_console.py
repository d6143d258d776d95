"""Operators' endpoints for rooms: list, detail, members, ending a live, removals."""

from typing import Any

import pytest

from core.clock import now_ms
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.client import Reply
from tests.support.mic import take_seat
from tests.support.operators import operator_as


async def test_operator_lists_live_rooms_and_reads_a_room(api: ApiFixture) -> None:
    assert (await api.ops("GET", "rooms")).ok() == {"items": [], "next": None}
    first_host, second_host = await api.host("one"), await api.host("two")
    rows = (await api.ops("GET", "rooms")).ok()["items"]
    assert [row["id"] for row in rows] == [second_host.live_id, first_host.live_id]
    row = (await api.ops("GET", f"rooms/{first_host.live_id}")).ok()
    assert [row.pop(name) for name in ("put_out", "events", "deputies")] == [[], [], []]
    assert row["room"]["owner"].pop("play_url")
    assert rows[1]["room"]["owner"].pop("play_url") == ""
    assert row == rows[1]
    row["room"]["owner"]["play_url"] = ""
    socket = await first_host.connect()
    assert (await socket.next("snapshot"))["data"]["owner"].keys() == row["room"]["owner"].keys()
    (await first_host.post("qlive_room/live_end/", live_id=first_host.live_id)).ok()
    rows = (await api.ops("GET", "rooms")).ok()["items"]
    assert [row["id"] for row in rows] == [second_host.live_id]
    assert (await api.ops("GET", f"rooms/{first_host.live_id}")).ok()["id"] == first_host.live_id
    assert (await api.ops("GET", "rooms/4711")).refusal == (404, "no_such_room")


async def test_only_moderators_get_play_urls_and_those_of_a_private_live_with_a_reason(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    moderator = await operator_as(server, "mona", "moderator")
    viewer = await operator_as(server, "vera", "viewer")
    path, reason = f"/ops/api/rooms/{host.live_id}", "reported for what it shows"

    async def shown(headers: dict[str, str]) -> tuple[bool, bool, bool]:
        """Whether the room has play URLs and a chat group, and whether its events have either."""
        detail = (await api.request("GET", path, headers=headers)).ok()
        urls = [detail["room"][seat]["play_url"] for seat in ("owner", "male")]
        events = str(detail["events"])
        has_access = "play_url" in events or "group_id" in events
        return all(urls), bool(detail["room"]["group_id"]), has_access

    assert await shown(moderator) == (True, True, False)
    assert await shown(viewer) == (False, True, False)
    update = {"live_id": host.live_id, "visibility": "private"}
    (await host.post("qlive_room/update_room/", **update)).ok()
    assert await shown(moderator) == (False, False, False)
    reported = {"user_id": bert.id, "live_id": host.live_id, "reason": "abuse"}
    (await host.post("qlive_user/report/", **reported)).ok()
    [report] = (await api.ops("GET", "moderation", params={"kind": "report"})).ok()["items"]
    evidence = str((await api.ops("GET", f"moderation/{report['id']}/evidence")).ok())
    assert "micro_accept" in evidence
    assert "play_url" not in evidence

    async def ask(**body: str) -> Reply:
        return await api.request("POST", f"{path}/streams", headers=moderator, json=body)

    urls = (await ask(reason=reason)).ok()
    playing = (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    for seat in ("owner", "male"):
        assert urls[seat].partition("?")[0] == playing[seat]["play_url"].partition("?")[0]
    assert (urls["female"], urls["group_id"]) == (None, playing["group_id"])
    [entry] = (await api.ops("GET", "audit", params={"q": "mona"})).ok()["items"]
    assert (entry["on"], entry["reason"]) == (str(host.live_id), reason)
    assert (await ask()).refusal[0] == 400, "a reason is required"
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await ask(reason=reason)).refusal == (409, "not_live")


async def read_events(api: ApiFixture, live_id: int, **since: Any) -> list[tuple[int, str]]:
    """Sequence number and type of the events in a room detail."""
    detail = (await api.ops("GET", f"rooms/{live_id}", params=since)).ok()
    return [(event["seq"], event["type"]) for event in detail["events"]]


async def test_room_detail_returns_the_events_since_a_sequence_number(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    path, room_params = f"rooms/{host.live_id}", {"live_id": host.live_id}
    socket = await host.watch()
    (await bert.post("qlive_room/apply_micro/", **room_params)).ok()
    first = (await api.ops("GET", path)).ok()
    frame = await socket.next("micro_apply")
    del frame["live_id"]
    assert first["events"] == [frame]
    (await bert.post("qlive_room/accept_micro/", **room_params)).ok()
    (await bert.get("qlive_room/leave_micro/", **room_params)).ok()
    since = {"epoch": first["epoch"], "since": 1}
    last_two = [(2, "micro_accept"), (3, "micro_leave")]
    assert await read_events(api, host.live_id, **since) == last_two
    assert await read_events(api, host.live_id, since=1) == last_two
    assert await read_events(api, host.live_id, **since | {"since": 3}) == []
    monkeypatch.setattr("handlers.rooms.console.LATEST_EVENTS", 2)
    for query in ({}, {"since": 99}, {"epoch": "another", "since": 3}):
        assert await read_events(api, host.live_id, **query) == last_two, query
    for invalid in ({"since": -1}, {"since": "x"}, {"since": ""}):
        reply = await api.ops("GET", path, params=invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
    (await api.ops("POST", f"{path}/end", reason="x")).ok()
    [end] = (await api.ops("GET", path, params=since | {"since": 3})).ok()["events"]
    assert (end["type"], end["data"]["reason"]) == ("live_end", "operator")


async def test_operator_removes_a_user_from_a_room_and_lifts_the_ban(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    socket = await bert.watch()
    path, before = f"rooms/{host.live_id}", now_ms()
    body: dict[str, Any] = {"user_id": bert.id, "minutes": 5, "reason": "rude"}
    assert (await api.ops("POST", f"{path}/put_out", **body)).ok() == {"detail": "OK"}
    assert (await socket.next("micro_leave"))["data"]["reason"] == "banned"
    assert await socket.close_code() == 4503
    assert (await bert.get("get_playurl/", live_id=host.live_id)).refusal == (403, "put_out")
    (ban,) = (await api.ops("GET", path)).ok()["put_out"]
    assert (ban["user_id"], ban["nickname"]) == (bert.id, "bert")
    assert before + 300_000 <= ban["until"] <= now_ms() + 300_000
    for _ in range(2):
        reply = await api.ops("POST", f"{path}/let_in", user_id=bert.id, reason="apologized")
        assert reply.ok() == {"detail": "OK"}
    assert (await api.ops("GET", path)).ok()["put_out"] == []
    (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    lift, _, removal = (await api.ops("GET", "audit?q=" + bert.id)).ok()["items"]
    here = str(host.live_id)
    assert (lift["what"], lift["on"], lift["reason"]) == ("POST LiftBan", here, "apologized")
    assert (removal["what"], removal["on"], removal["reason"]) == ("POST RemoveUser", here, "rude")
    for change, refusal in (
        ({"reason": ""}, (400, "bad_parameter")),
        ({"minutes": 1441}, (400, "bad_parameter")),
        ({"user_id": host.id}, (400, "bad_parameter")),
        ({"user_id": "00000000"}, (404, "no_such_user")),
    ):
        reply = await api.ops("POST", f"{path}/put_out", **body | change)
        assert reply.refusal == refusal, change
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await api.ops("POST", f"{path}/put_out", **body)).refusal == (409, "not_live")


async def test_room_members_are_listed_with_their_roles_and_found_by_id_or_nickname(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.rooms.console.PAGE_SIZE", 2)
    monkeypatch.setattr("handlers.rooms.console.SEARCH_BATCH", 2)
    host = await api.host()
    guests = [await api.guest(f"Guest {n}", 1 + n % 2, host.live_id) for n in range(4)]
    (await guests[1].post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await api.user("Guest elsewhere", 1)

    async def search(query: str) -> list[Any]:
        rows: list[Any] = []
        after: str | None = ""
        while after is not None:
            params = {"q": query, "after": after}
            path = f"rooms/{host.live_id}/people"
            page = (await api.ops("GET", path, params=params)).ok()
            assert len(page["items"]) <= 2
            rows += page["items"]
            after = page["next"]
        return rows

    roles = {row["user_id"]: row["role"] for row in await search("")}
    viewers = dict.fromkeys([guest.id for guest in guests], "viewer")
    assert roles == {**viewers, host.id: "host", guests[1].id: "applied"}
    for query, expected in (
        ("gUEST", guests),
        ("guest 3", guests[3:]),
        (guests[0].id, guests[:1]),
        (guests[0].id[1:], []),
        ("unknown", []),
    ):
        found = [row["user_id"] for row in await search(query)]
        assert found == sorted(guest.id for guest in expected), query
