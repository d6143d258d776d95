from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.mic import take_seat


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pages": {"size": 2}}


async def list_rooms(api: ApiFixture, page: object = 1) -> list[dict[str, Any]]:
    viewer = await api.user("viewer", 1)
    rooms: list[dict[str, Any]] = (await viewer.get("get_livelist/", page=page)).ok()
    return rooms


@pytest.mark.gen_test(timeout=20)
async def test_rooms_are_listed_by_audience_size_then_newest_first(api: ApiFixture) -> None:
    hosts = [await api.host(f"host{n}") for n in range(3)]
    await api.guest("without a gender", 0, hosts[0].live_id)
    pages = [await list_rooms(api, page) for page in (1, 2, 3)]
    ids = [[room["id"] for room in page] for page in pages]
    assert ids == [[hosts[0].live_id, hosts[2].live_id], [hosts[1].live_id], []]
    assert [room["audience_count"] for room in pages[0]] == [2, 1]


@pytest.mark.gen_test(timeout=20)
async def test_listed_room_has_host_details_and_faces_of_guests_on_mic(api: ApiFixture) -> None:
    host = await api.host()
    (await host.post("qlive_user/update_userinfo/", face_url="https://example.com/h.png")).ok()
    anna = await api.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", face_url=face)).ok()
    await take_seat(anna)
    (room,) = await list_rooms(api)
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
async def test_only_live_rooms_are_listed(api: ApiFixture) -> None:
    host = await api.host()
    assert len(await list_rooms(api)) == 1
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert await list_rooms(api) == []
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert [room["audience_count"] for room in await list_rooms(api)] == [1]


@pytest.mark.gen_test(timeout=20)
async def test_page_number_must_be_a_positive_integer(api: ApiFixture) -> None:
    await api.host()
    anna = await api.user("anna", 2)
    assert len((await anna.get("get_livelist/")).ok()) == 1
    assert len((await anna.get("get_livelist/", page="")).ok()) == 1
    for page in ("0", "-1", "one", "1.5", "1e3", "99999999999999999999"):
        reply = await anna.get("get_livelist/", page=page)
        assert reply.refusal == (400, "bad_parameter"), page
        assert reply.json["fields"].keys() == {"page"}
