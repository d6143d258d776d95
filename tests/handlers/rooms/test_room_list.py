"""The lists of rooms and of the users of a room."""

from typing import Any

from handlers.models import LIST_PAGE_SIZE
from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import take_seat

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


async def test_listed_room_has_host_details_and_faces_of_guests_on_mic(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    for client in (host, anna):
        (await client.post("qlive_user/update_userinfo/", face_url=f"{FACE}?{client.id}")).ok()
    await take_seat(anna)
    (room,) = await list_rooms(api)
    group_id = (await host.get("qlive_user/get_user_state/")).ok()["group_id"]
    assert room == {
        "id": host.live_id,
        "group_id": group_id,
        "room_name": "红娘",
        "room_image": f"{FACE}?{host.id}",
        "player": {"boy": "", "girl": f"{FACE}?{anna.id}"},
        "audience_count": 2,
    }


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
