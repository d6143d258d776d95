"""Rooms over HTTP: lists, entering, opening, leaving, ending; tests/rooms show the rules."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest

from handlers.models import LIST_PAGE_SIZE
from runtime.process import ServerProcess
from tencent.errors import ImMisconfigured, ImRejected
from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import take_seat
from tests.support.races import run_after

ENTER = "qlive_room/matchmaker_enter/"
END = "qlive_room/live_end/"
LEAVE = "qlive_room/leave_room/"


async def enter(client: ApiClient, live_id: int) -> dict[str, Any]:
    room: dict[str, Any] = (await client.get("get_playurl/", live_id=live_id)).ok()
    return room


async def room_and_role(client: ApiClient) -> tuple[Any, int]:
    user_state = (await client.get("qlive_user/get_user_state/")).ok()
    return user_state["live_id"], user_state["user_type"]


# ---- get_playurl


async def test_view_of_the_room_has_the_role_and_push_url_of_each_member(api: ApiFixture) -> None:
    host = await api.host()
    anna, bert, carl, dora = [
        await api.guest(name, gender, host.live_id)
        for name, gender in (("anna", 2), ("bert", 1), ("carl", 1), ("dora", 2))
    ]
    empty = await enter(dora, host.live_id)
    assert (empty["male"], empty["female"], empty["num_list"]) == ({}, {}, [0, 2, 0, 2])
    assert empty["anchor_info"] == {"nickname": "红娘", "face_url": ""}
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100")).ok()
    await take_seat(anna)
    await take_seat(bert)
    (await carl.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    views = [await enter(client, host.live_id) for client in (dora, carl, bert, anna, host)]
    assert [view["user_type"] for view in views] == [1, 2, 3, 4, 5]
    assert [bool(view["push_url"]) for view in views] == [False, False, True, True, True]
    for view in views:
        assert view["num_list"] == [1, 2, 0, 2]
        assert (view["owner"]["user_id"], view["male"]["user_id"]) == (host.id, bert.id)
        female = {name: view["female"][name] for name in ("user_id", "nickname", "area", "age")}
        assert female == {"user_id": anna.id, "nickname": "anna", "area": "310100", "age": 27}


async def test_concurrent_entries_into_another_room_never_evict_the_user_from_it(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_host, second_host = await api.host("红娘一"), await api.host("红娘二")
    bert = await api.user("bert", 1)
    hub, evicted_from = server.context.hub, list[int]()
    evict = hub.evict

    def record_evict(live_id: int, *args: Any, **kwargs: Any) -> None:
        evicted_from.append(live_id)
        evict(live_id, *args, **kwargs)

    monkeypatch.setattr(hub, "evict", record_evict)
    for _ in range(3):
        await enter(bert, first_host.live_id)
        evicted_from.clear()
        calls = [bert.get("get_playurl/", live_id=second_host.live_id) for _ in range(4)]
        assert {reply.status for reply in await asyncio.gather(*calls)} <= {200, 503}
        assert second_host.live_id not in evicted_from
        assert (await room_and_role(bert))[0] == second_host.live_id


# ---- matchmaker_enter


async def test_matchmaker_opens_and_resumes_a_room_with_an_im_group(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.matchmaker()
    replies = await asyncio.gather(*(host.post(ENTER) for _ in range(5)))
    opened, *others = [reply.ok() for reply in replies]
    assert opened["status"] == "ok"
    assert (opened["user_id"], opened["nickname"], opened["face_url"]) == (host.id, "红娘", "")
    assert opened["push_url"].startswith("rtmp://push.")
    assert opened["play_url"].startswith("rtmp://play.")
    assert await room_and_role(host) == (opened["live_id"], 5)
    assert server.simulator
    group = server.simulator.im.groups[opened["group_id"]]
    assert group["Owner_Account"] == host.id
    for other in others:
        assert (other["live_id"], other["group_id"]) == (opened["live_id"], opened["group_id"])
        assert other["push_url"].split("?")[0] == opened["push_url"].split("?")[0]


async def test_refused_matchmakers_open_no_room(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, host = await api.user("anna", 2), await api.matchmaker()
    assert (await anna.post(ENTER)).refusal == (403, "not_matchmaker")
    await api.outage("im", status=500)
    unavailable = await host.post(ENTER)
    assert unavailable.refusal == (503, "im_away")
    assert int(unavailable.headers["Retry-After"]) > 0
    await api.outage("im")
    with monkeypatch.context() as patch:
        for error in (ImRejected(10036, "quota"), ImMisconfigured()):
            refuse = AsyncMock(side_effect=error)
            patch.setattr(server.context.tencent.im, "create_group", refuse)
            reply = await host.post(ENTER)
            assert reply.refusal == (503, "im_refused"), error
            assert "try again" not in reply.json["detail"], error
    assert await room_and_role(host) == ("", 0)
    opened = (await host.post(ENTER)).ok()
    await api.outage("im", status=500)
    (await host.post(END, live_id=opened["live_id"])).ok()
    assert (await host.post(ENTER)).ok()["group_id"] == opened["group_id"], "needs no IM"
    (await api.ops("PATCH", f"users/{host.id}", banned=True, ban_reason="x")).ok()
    banned = (await host.post(ENTER)).ok()
    assert (banned["status"], banned["code"]) == ("failed", "banned")
    assert banned["detail"]
    assert (await api.ops("GET", "rooms")).ok()["items"] == []


async def test_matchmaker_role_revoked_during_entry_prevents_the_live(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    (await host.post(END, live_id=host.live_id)).ok()

    async def revoke() -> None:
        (await api.ops("PATCH", f"users/{host.id}", is_matchmaker=False)).ok()

    run_after(server.context.stores.rooms, "get_or_create", revoke)
    assert (await host.post(ENTER)).refusal == (403, "not_matchmaker")
    assert not (await server.context.room_changes.load(host.live_id)).live


# ---- live_end and leave_room


FACE = "https://example.com/a.png"


async def list_rooms(api: ApiFixture, page: object = 1) -> list[dict[str, Any]]:
    viewer = await api.user("viewer", 1)
    rooms: list[dict[str, Any]] = (await viewer.get("get_livelist/", page=page)).ok()
    return rooms


async def test_live_rooms_are_listed_by_audience_size_then_newest_first(api: ApiFixture) -> None:
    popular, *others, ended = [await api.host(f"host{n}") for n in range(LIST_PAGE_SIZE + 2)]
    await api.guest("without a gender", 0, popular.live_id)
    (await ended.post("qlive_room/live_end/", live_id=ended.live_id)).ok()
    pages = [await list_rooms(api, page) for page in (1, 2, 3)]
    newest_first = [host.live_id for host in (popular, *reversed(others))]
    assert [[room["id"] for room in page] for page in pages] == [
        newest_first[:LIST_PAGE_SIZE],
        newest_first[LIST_PAGE_SIZE:],
        [],
    ]
    assert [room["audience_count"] for room in pages[0][:2]] == [2, 1]


async def list_filtered(client: ApiClient, **filters: Any) -> list[int]:
    return [room["id"] for room in (await client.get("get_livelist/", **filters)).ok()]


async def test_the_list_of_a_province_or_with_a_free_seat_keeps_order_and_pages(
    api: ApiFixture,
) -> None:
    """A host without an area is listed without that filter only."""
    hosts = [await api.matchmaker(name) for name in ("near", "far", "nowhere")]
    for host, area in zip(hosts, ("310115", "440100"), strict=False):
        (await host.post("qlive_user/update_userinfo/", area=area)).ok()
    near, far, nowhere = [(await host.post(ENTER)).ok()["live_id"] for host in hosts]
    await take_seat(await api.guest("bert", 1, near))
    await take_seat(await api.guest("anna", 2, far))
    viewer = await api.user("viewer", 1)
    assert await list_filtered(viewer) == await list_filtered(viewer, area="", free="")
    assert await list_filtered(viewer) == [far, near, nowhere]
    assert await list_filtered(viewer, area="310000") == [near]
    assert await list_filtered(viewer, area=440399) == [far]
    assert await list_filtered(viewer, free="male") == [far, nowhere]
    assert await list_filtered(viewer, free="female") == [near, nowhere]
    later = [(await api.host(f"host{n}")).live_id for n in range(LIST_PAGE_SIZE)]
    newest_first = [far, *reversed(later), nowhere]
    for page in (1, 2, 3):
        start = (page - 1) * LIST_PAGE_SIZE
        expected = newest_first[start : start + LIST_PAGE_SIZE]
        assert await list_filtered(viewer, free="male", page=page) == expected
    for wrong in ({"area": "31"}, {"area": "31010x"}, {"area": "３１０１００"}, {"free": "owner"}):
        reply = await viewer.get("get_livelist/", **wrong)
        assert reply.refusal == (400, "bad_parameter"), wrong


async def list_women(client: ApiClient, live_id: int, page: int = 1) -> list[tuple[str, int]]:
    reply = await client.get("qlive_user/get_users_info/", live_id=live_id, gender=2, page=page)
    return [(row["nickname"], row["state"]) for row in reply.ok()]


async def test_applicants_precede_viewers_each_in_order_of_time(api: ApiFixture) -> None:
    host = await api.host()
    assert LIST_PAGE_SIZE == 8
    clients = {name: await api.guest(name, 2, host.live_id) for name in "abcdefghij"}
    man = await api.guest("man", 1, host.live_id)
    for name in ("e", "b", "d"):
        (await clients[name].post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await clients["d"].post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=man.id)).ok()
    pages = [await list_women(host, host.live_id, page) for page in (1, 2, 3)]
    assert pages == [
        [("e", 1), ("b", 1), *((name, 0) for name in "acfghi")],
        [("j", 0)],
        [],
    ]
    (await man.post("qlive_user/update_userinfo/", face_url=FACE)).ok()
    men = await host.get("qlive_user/get_users_info/", live_id=host.live_id, gender="1")
    invited = {"user_id": man.id, "face_url": FACE, "nickname": "man", "state": 0}
    assert men.ok() == [{**invited, "blocked": False}]
    stranger = await api.user("stranger", 1)
    for live_id, refusal in ((host.live_id, (403, "not_in_room")), (4711, (404, "no_such_room"))):
        params: dict[str, Any] = {"live_id": live_id, "gender": 1}
        assert (await stranger.get("qlive_user/get_users_info/", **params)).refusal == refusal
