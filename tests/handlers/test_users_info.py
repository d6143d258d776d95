from typing import Any

import pytest

from tests.support.api import ApiClient, ApiFixture


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pages": {"size": 3}}


async def list_women(client: ApiClient, live_id: int, page: int = 1) -> list[tuple[str, int]]:
    reply = await client.get("qlive_user/get_users_info/", live_id=live_id, gender=2, page=page)
    return [(row["nickname"], row["state"]) for row in reply.ok()]


@pytest.mark.gen_test(timeout=20)
async def test_applicants_precede_viewers_each_in_order_of_time(api: ApiFixture) -> None:
    host = await api.host()
    clients = {}
    for name in ("a", "b", "c", "d", "e", "f"):
        clients[name] = await api.guest(name, 2, host.live_id)
    await api.guest("man", 1, host.live_id)
    for name in ("f", "b", "d"):
        (await clients[name].post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await clients["d"].post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    pages = [await list_women(host, host.live_id, page) for page in (1, 2, 3)]
    assert pages == [[("f", 1), ("b", 1), ("a", 0)], [("c", 0), ("e", 0)], []]


@pytest.mark.gen_test(timeout=20)
async def test_row_contains_profile_and_state(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", face_url=face)).ok()
    reply = await anna.get("qlive_user/get_users_info/", live_id=host.live_id, gender="2")
    expected = {"user_id": anna.id, "face_url": face, "nickname": "anna", "state": 0}
    assert reply.ok() == [expected]
    men = await anna.get("qlive_user/get_users_info/", live_id=host.live_id, gender=1)
    assert men.ok() == []


@pytest.mark.gen_test(timeout=20)
async def test_invited_user_is_listed_as_viewer(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=anna.id)).ok()
    assert await list_women(host, host.live_id) == [("anna", 0)]


@pytest.mark.gen_test(timeout=20)
async def test_only_room_members_may_list_users(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    params = {"live_id": host.live_id, "gender": 2}
    outside = await anna.get("qlive_user/get_users_info/", **params)
    assert outside.refusal == (403, "not_in_room")
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    (await anna.get("qlive_user/get_users_info/", **params)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    ended = await anna.get("qlive_user/get_users_info/", **params)
    assert ended.refusal == (403, "not_in_room")
    unknown_room = await anna.get("qlive_user/get_users_info/", live_id=4711, gender=2)
    assert unknown_room.refusal == (404, "no_such_room")


@pytest.mark.gen_test(timeout=20)
async def test_invalid_gender_page_or_live_id_is_rejected(api: ApiFixture) -> None:
    host = await api.host()
    valid = {"live_id": host.live_id, "gender": 2, "page": 1}
    for field, value in (
        ("gender", 0),
        ("gender", 3),
        ("gender", ""),
        ("page", 0),
        ("page", "x"),
        ("live_id", ""),
    ):
        reply = await host.get("qlive_user/get_users_info/", **{**valid, field: value})
        assert reply.refusal == (400, "bad_parameter"), (field, value)
        assert reply.json["fields"].keys() == {field}
