import asyncio
import hashlib
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import take_seat


async def enter(client: ApiClient, live_id: int) -> dict[str, Any]:
    room: dict[str, Any] = (await client.get("get_playurl/", live_id=live_id)).ok()
    return room


@pytest.mark.gen_test(timeout=20)
async def test_entering_user_becomes_a_viewer_and_gets_the_room_view(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    room = await enter(anna, host.live_id)
    assert room["user_type"] == 1
    assert room["push_url"] == ""
    assert (room["male"], room["female"]) == ({}, {})
    assert room["anchor_info"] == {"nickname": "红娘", "face_url": ""}
    assert (room["owner"]["user_id"], room["owner"]["nickname"]) == (host.id, "红娘")
    assert room["num_list"] == [0, 0, 0, 1]
    again = await enter(anna, host.live_id)
    assert (again["user_type"], again["num_list"]) == (1, [0, 0, 0, 1])


@pytest.mark.gen_test(timeout=20)
async def test_returning_user_keeps_the_role(api: ApiFixture) -> None:
    host = await api.host()
    anna, bert, carl = [
        await api.guest(name, gender, host.live_id)
        for name, gender in (("anna", 2), ("bert", 1), ("carl", 1))
    ]
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100")).ok()
    await take_seat(anna)
    await take_seat(bert)
    (await carl.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    views = [await enter(client, host.live_id) for client in (carl, bert, anna, host)]
    assert [view["user_type"] for view in views] == [2, 3, 4, 5]
    assert [bool(view["push_url"]) for view in views] == [False, True, True, True]
    for view in views:
        assert view["num_list"] == [1, 2, 0, 1]
        assert view["male"]["user_id"] == bert.id
        female = {name: view["female"][name] for name in ("user_id", "nickname", "area", "age")}
        assert female == {"user_id": anna.id, "nickname": "anna", "area": "310100", "age": 27}


@pytest.mark.gen_test(timeout=20)
async def test_stream_urls_are_signed_with_the_key_of_their_domain(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    room, live = await enter(anna, host.live_id), server.settings.live
    for url, domain, key in (
        (room["push_url"], live.push_domain, live.push_key),
        (room["owner"]["play_url"], live.play_domain, live.play_key),
        (room["female"]["play_url"], live.play_domain, live.play_key),
    ):
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        app, stream = parts.path.lstrip("/").split("/")
        assert (parts.scheme, parts.netloc, app) == ("rtmp", domain, "live")
        signature = hashlib.md5(f"{key}{stream}{query['txTime']}".encode()).hexdigest()
        assert query["txSecret"] == signature
    expires_at = int(parse_qs(urlsplit(room["push_url"]).query)["txTime"][0], 16)
    assert abs(expires_at - time.time() - 86_400) < 20
    streams = [urlsplit(room[seat]["play_url"]).path for seat in ("owner", "female")]
    assert urlsplit(room["push_url"]).path == streams[1] != streams[0]


@pytest.mark.gen_test(timeout=20)
async def test_each_accepted_seat_gets_a_new_stream(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    streams = set()
    for _ in range(2):
        await take_seat(anna)
        streams.add(urlsplit((await enter(anna, host.live_id))["push_url"]).path)
        (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    assert len(streams) == 2


@pytest.mark.gen_test(timeout=20)
async def test_ended_or_unknown_room_cannot_be_entered(api: ApiFixture) -> None:
    host = await api.host()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    anna = await api.user("anna", 2)
    ended = await anna.get("get_playurl/", live_id=host.live_id)
    assert ended.refusal == (409, "not_live")
    unknown_room = await anna.get("get_playurl/", live_id=4711)
    assert unknown_room.refusal == (404, "no_such_room")
    for invalid in ({}, {"live_id": ""}, {"live_id": "x"}, {"live_id": 0}, {"live_id": -1}):
        reply = await anna.get("get_playurl/", **invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {"live_id"}


@pytest.mark.gen_test(timeout=20)
async def test_banned_user_cannot_enter(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    (await api.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    reply = await anna.get("get_playurl/", live_id=host.live_id)
    assert reply.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_entering_a_second_room_leaves_the_first(api: ApiFixture) -> None:
    first_host, second_host = await api.host("one"), await api.host("two")
    anna = await api.guest("anna", 2, first_host.live_id)
    await take_seat(anna)
    socket = await first_host.connect()
    await socket.next("snapshot")
    assert (await enter(anna, second_host.live_id))["user_type"] == 1
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "left")
    room = await enter(first_host, first_host.live_id)
    assert (room["female"], room["num_list"]) == ({}, [0, 0, 0, 0])
    state = (await anna.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (second_host.live_id, 1)


@pytest.mark.gen_test(timeout=20)
async def test_concurrent_entries_into_two_rooms_end_in_one_room(api: ApiFixture) -> None:
    hosts = [await api.host("one"), await api.host("two")]
    anna = await api.user("anna", 2)
    for _ in range(5):
        replies = await asyncio.gather(
            *(anna.get("get_playurl/", live_id=host.live_id) for host in hosts)
        )
        assert {reply.status for reply in replies} <= {200, 503}
        viewer_counts = [(await enter(host, host.live_id))["num_list"][3] for host in hosts]
        assert sum(viewer_counts) == 1
        state = (await anna.get("qlive_user/get_user_state/")).ok()
        assert state["live_id"] == hosts[viewer_counts.index(1)].live_id


@pytest.mark.gen_test(timeout=20)
async def test_rejected_entry_keeps_the_current_room_and_seat(api: ApiFixture) -> None:
    first_host, second_host = await api.host("one"), await api.host("two")
    (await second_host.post("qlive_room/live_end/", live_id=second_host.live_id)).ok()
    anna = await api.guest("anna", 2, first_host.live_id)
    await take_seat(anna)
    reply = await anna.get("get_playurl/", live_id=second_host.live_id)
    assert reply.refusal == (409, "not_live")
    state = (await anna.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (first_host.live_id, 4)


@pytest.mark.gen_test(timeout=20)
async def test_live_host_cannot_enter_another_room(api: ApiFixture) -> None:
    first_host, second_host = await api.host("one"), await api.host("two")
    reply = await first_host.get("get_playurl/", live_id=second_host.live_id)
    assert reply.refusal == (409, "host_is_live")
    state = (await first_host.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (first_host.live_id, 5)
    (await first_host.post("qlive_room/live_end/", live_id=first_host.live_id)).ok()
    assert (await enter(first_host, second_host.live_id))["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_new_live_starts_with_only_the_host(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert (await enter(host, host.live_id))["num_list"] == [0, 0, 0, 0]
    reply = await anna.post("qlive_room/apply_micro/", live_id=host.live_id)
    assert reply.refusal == (409, "not_in_room")
