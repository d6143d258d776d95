import asyncio
import hashlib
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server import Server
from tests.phones import Phone, Street


async def enter(phone: Phone, live_id: int) -> dict[str, Any]:
    answer: dict[str, Any] = (await phone.get("get_playurl/", live_id=live_id)).ok()
    return answer


async def sit(phone: Phone) -> None:
    (await phone.post("qlive_room/apply_micro/", live_id=phone.live_id)).ok()
    (await phone.post("qlive_room/accept_micro/", live_id=phone.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_whoever_comes_in_is_a_viewer_and_sees_the_room(street: Street) -> None:
    host = await street.host()
    anna = await street.person("anna", 2)
    seen = await enter(anna, host.live_id)
    assert seen["user_type"] == 1
    assert seen["push_url"] == ""
    assert (seen["male"], seen["female"]) == ({}, {})
    assert seen["anchor_info"] == {"nickname": "红娘", "face_url": ""}
    assert (seen["owner"]["user_id"], seen["owner"]["nickname"]) == (host.id, "红娘")
    assert seen["num_list"] == [0, 0, 0, 1]
    again = await enter(anna, host.live_id)
    assert (again["user_type"], again["num_list"]) == (1, [0, 0, 0, 1])


@pytest.mark.gen_test(timeout=20)
async def test_whoever_comes_back_keeps_their_role(street: Street) -> None:
    host = await street.host()
    anna, bert, carl = [
        await street.guest(name, gender, host.live_id)
        for name, gender in (("anna", 2), ("bert", 1), ("carl", 1))
    ]
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100")).ok()
    await sit(anna)
    await sit(bert)
    (await carl.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    views = [await enter(phone, host.live_id) for phone in (carl, bert, anna, host)]
    assert [view["user_type"] for view in views] == [2, 3, 4, 5]
    assert [bool(view["push_url"]) for view in views] == [False, True, True, True]
    for view in views:
        assert view["num_list"] == [1, 2, 0, 1]
        assert view["male"]["user_id"] == bert.id
        female = {name: view["female"][name] for name in ("user_id", "nickname", "area", "age")}
        assert female == {"user_id": anna.id, "nickname": "anna", "area": "310100", "age": 27}


@pytest.mark.gen_test(timeout=20)
async def test_every_address_is_signed_with_the_key_of_its_domain(
    street: Street, server: Server
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    await sit(anna)
    seen, live = await enter(anna, host.live_id), server.settings.live
    for url, domain, key in (
        (seen["push_url"], live.push_domain, live.push_key),
        (seen["owner"]["play_url"], live.play_domain, live.play_key),
        (seen["female"]["play_url"], live.play_domain, live.play_key),
    ):
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        app, stream = parts.path.lstrip("/").split("/")
        assert (parts.scheme, parts.netloc, app) == ("rtmp", domain, "live")
        signed = hashlib.md5(f"{key}{stream}{query['txTime']}".encode()).hexdigest()
        assert query["txSecret"] == signed
    until = int(parse_qs(urlsplit(seen["push_url"]).query)["txTime"][0], 16)
    assert abs(until - time.time() - live.url_seconds) < 20
    streams = [urlsplit(seen[where]["play_url"]).path for where in ("owner", "female")]
    assert urlsplit(seen["push_url"]).path == streams[1] != streams[0]


@pytest.mark.gen_test(timeout=20)
async def test_a_new_sitting_has_a_new_stream(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    streams = set()
    for _ in range(2):
        await sit(anna)
        streams.add(urlsplit((await enter(anna, host.live_id))["push_url"]).path)
        (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    assert len(streams) == 2


@pytest.mark.gen_test(timeout=20)
async def test_a_room_that_is_not_live_or_not_there_lets_nobody_in(street: Street) -> None:
    host = await street.host()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    anna = await street.person("anna", 2)
    ended = await anna.get("get_playurl/", live_id=host.live_id)
    assert ended.refusal == (409, "not_live")
    nowhere = await anna.get("get_playurl/", live_id=4711)
    assert nowhere.refusal == (404, "no_such_room")
    for wrong in ({}, {"live_id": ""}, {"live_id": "x"}, {"live_id": 0}, {"live_id": -1}):
        answer = await anna.get("get_playurl/", **wrong)
        assert answer.refusal == (400, "bad_parameter"), wrong
        assert answer.json["fields"].keys() == {"live_id"}


@pytest.mark.gen_test(timeout=20)
async def test_the_banned_stay_outside(street: Street) -> None:
    host = await street.host()
    anna = await street.person("anna", 2)
    (await street.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    answer = await anna.get("get_playurl/", live_id=host.live_id)
    assert answer.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_nobody_is_in_two_rooms(street: Street) -> None:
    one, two = await street.host("one"), await street.host("two")
    anna = await street.guest("anna", 2, one.live_id)
    await sit(anna)
    socket = await one.connect()
    await socket.next("snapshot")
    assert (await enter(anna, two.live_id))["user_type"] == 1
    left = (await socket.next("micro_leave"))["data"]
    assert (left["user_id"], left["reason"]) == (anna.id, "left")
    seen = await enter(one, one.live_id)
    assert (seen["female"], seen["num_list"]) == ({}, [0, 0, 0, 0])
    state = (await anna.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (two.live_id, 1)


@pytest.mark.gen_test(timeout=30)
async def test_two_doors_at_once_lead_into_one_room(street: Street) -> None:
    hosts = [await street.host("one"), await street.host("two")]
    anna = await street.person("anna", 2)
    for _ in range(30):
        answers = await asyncio.gather(
            *(anna.get("get_playurl/", live_id=host.live_id) for host in hosts)
        )
        assert {answer.status for answer in answers} <= {200, 503}
        inside = [(await enter(host, host.live_id))["num_list"][3] for host in hosts]
        assert sum(inside) == 1
        state = (await anna.get("qlive_user/get_user_state/")).ok()
        assert state["live_id"] == hosts[inside.index(1)].live_id


@pytest.mark.gen_test(timeout=20)
async def test_whoever_is_not_let_in_stays_where_they_were(street: Street) -> None:
    one, two = await street.host("one"), await street.host("two")
    (await two.post("qlive_room/live_end/", live_id=two.live_id)).ok()
    anna = await street.guest("anna", 2, one.live_id)
    await sit(anna)
    answer = await anna.get("get_playurl/", live_id=two.live_id)
    assert answer.refusal == (409, "not_live")
    state = (await anna.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (one.live_id, 4)


@pytest.mark.gen_test(timeout=20)
async def test_a_host_who_is_live_goes_nowhere_else(street: Street) -> None:
    one, two = await street.host("one"), await street.host("two")
    answer = await one.get("get_playurl/", live_id=two.live_id)
    assert answer.refusal == (409, "host_is_live")
    state = (await one.get("qlive_user/get_user_state/")).ok()
    assert (state["live_id"], state["user_type"]) == (one.live_id, 5)
    (await one.post("qlive_room/live_end/", live_id=one.live_id)).ok()
    assert (await enter(one, two.live_id))["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_a_new_live_begins_with_nobody_but_the_host(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert (await enter(host, host.live_id))["num_list"] == [0, 0, 0, 0]
    answer = await anna.post("qlive_room/apply_micro/", live_id=host.live_id)
    assert answer.refusal == (409, "not_in_room")
