from typing import Any

import pytest

from tests.phones import Phone, Street


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pages": {"size": 3}}


async def women(phone: Phone, live_id: int, page: int = 1) -> list[tuple[str, int]]:
    got = await phone.get("qlive_user/get_users_info/", live_id=live_id, gender=2, page=page)
    return [(row["nickname"], row["state"]) for row in got.ok()]


@pytest.mark.gen_test(timeout=20)
async def test_applicants_come_first_then_viewers_each_by_their_time(street: Street) -> None:
    host = await street.host()
    phones = {}
    for name in ("a", "b", "c", "d", "e", "f"):
        phones[name] = await street.guest(name, 2, host.live_id)
    await street.guest("man", 1, host.live_id)
    for name in ("f", "b", "d"):
        (await phones[name].post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await phones["d"].post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    pages = [await women(host, host.live_id, page) for page in (1, 2, 3)]
    assert pages == [[("f", 1), ("b", 1), ("a", 0)], [("c", 0), ("e", 0)], []]


@pytest.mark.gen_test(timeout=20)
async def test_a_row_is_a_face_with_a_state(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", face_url=face)).ok()
    got = await anna.get("qlive_user/get_users_info/", live_id=host.live_id, gender="2")
    expected = {"user_id": anna.id, "face_url": face, "nickname": "anna", "state": 0}
    assert got.ok() == [expected]
    men = await anna.get("qlive_user/get_users_info/", live_id=host.live_id, gender=1)
    assert men.ok() == []


@pytest.mark.gen_test(timeout=20)
async def test_somebody_who_is_only_invited_is_still_a_viewer(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=anna.id)).ok()
    assert await women(host, host.live_id) == [("anna", 0)]


@pytest.mark.gen_test(timeout=20)
async def test_only_members_may_look(street: Street) -> None:
    host = await street.host()
    anna = await street.person("anna", 2)
    asked = {"live_id": host.live_id, "gender": 2}
    outside = await anna.get("qlive_user/get_users_info/", **asked)
    assert outside.refusal == (403, "not_in_room")
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    (await anna.get("qlive_user/get_users_info/", **asked)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    ended = await anna.get("qlive_user/get_users_info/", **asked)
    assert ended.refusal == (403, "not_in_room")
    nowhere = await anna.get("qlive_user/get_users_info/", live_id=4711, gender=2)
    assert nowhere.refusal == (404, "no_such_room")


@pytest.mark.gen_test(timeout=20)
async def test_gender_page_and_room_must_be_right(street: Street) -> None:
    host = await street.host()
    right = {"live_id": host.live_id, "gender": 2, "page": 1}
    for field, value in (
        ("gender", 0),
        ("gender", 3),
        ("gender", ""),
        ("page", 0),
        ("page", "x"),
        ("live_id", ""),
    ):
        answer = await host.get("qlive_user/get_users_info/", **{**right, field: value})
        assert answer.refusal == (400, "bad_parameter"), (field, value)
        assert answer.json["fields"].keys() == {field}
