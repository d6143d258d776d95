from typing import Any

import pytest

from tests.phones import Street


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pages": {"size": 2}}


async def listed(street: Street, page: object = 1) -> list[dict[str, Any]]:
    stranger = await street.person("stranger", 1)
    rooms: list[dict[str, Any]] = (await stranger.get("get_livelist/", page=page)).ok()
    return rooms


@pytest.mark.gen_test(timeout=20)
async def test_the_fullest_room_first_then_the_newest(street: Street) -> None:
    hosts = [await street.host(f"host{n}") for n in range(3)]
    await street.guest("without a gender", 0, hosts[0].live_id)
    pages = [await listed(street, page) for page in (1, 2, 3)]
    ids = [[room["id"] for room in page] for page in pages]
    assert ids == [[hosts[0].live_id, hosts[2].live_id], [hosts[1].live_id], []]
    assert [room["audience_count"] for room in pages[0]] == [2, 1]


@pytest.mark.gen_test(timeout=20)
async def test_a_room_shows_its_host_and_the_faces_on_mic(street: Street) -> None:
    host = await street.host()
    (await host.post("qlive_user/update_userinfo/", face_url="https://example.com/h.png")).ok()
    anna = await street.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", face_url=face)).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    (room,) = await listed(street)
    group_id = (await host.get("qlive_user/get_user_state/")).ok()["group_id"]
    assert room == {
        "id": host.live_id,
        "group_id": group_id,
        "room_name": "红娘",
        "room_image": "https://example.com/h.png",
        "player": {"boy": "", "girl": face},
        "audience_count": 2,
    }


@pytest.mark.gen_test(timeout=20)
async def test_only_live_rooms_are_listed(street: Street) -> None:
    host = await street.host()
    assert len(await listed(street)) == 1
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert await listed(street) == []
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert [room["audience_count"] for room in await listed(street)] == [1]


@pytest.mark.gen_test(timeout=20)
async def test_a_page_is_a_number_from_1(street: Street) -> None:
    await street.host()
    anna = await street.person("anna", 2)
    assert len((await anna.get("get_livelist/")).ok()) == 1
    assert len((await anna.get("get_livelist/", page="")).ok()) == 1
    for page in ("0", "-1", "one", "1.5", "1e3", "99999999999999999999"):
        answer = await anna.get("get_livelist/", page=page)
        assert answer.refusal == (400, "bad_parameter"), page
        assert answer.json["fields"].keys() == {"page"}
