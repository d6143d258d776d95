"""Following, and the list of followed users, over HTTP."""

from typing import Any

from handlers.models import LIST_PAGE_SIZE
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.races import run_after

FOLLOW, INFO, BLOCK = "qlive_follow/", "qlive_user/get_userinfo/", "qlive_user/block/"


async def follow(user: ApiClient, other: ApiClient, on: int = 1) -> int:
    """The number of followers afterwards."""
    changed = (await user.post(FOLLOW, user_id=other.id, on=on)).ok()
    assert changed["followed"] is bool(on)
    return int(changed["followers"])


async def shown(user: ApiClient, **other: Any) -> tuple[int, bool]:
    info = (await user.get(INFO, **other)).ok()
    return info["followers"], info["followed"]


async def test_a_user_follows_anybody_but_themselves_and_profiles_show_it(api: ApiFixture) -> None:
    anna, bert, carl = [await api.user(name) for name in ("anna", "bert", "carl")]
    assert [await follow(bert, anna), await follow(bert, anna), await follow(carl, anna)] == [
        1,
        1,
        2,
    ]
    assert await shown(bert, user_id=anna.id) == (2, True)
    assert await shown(anna, user_id=bert.id) == (0, False)
    assert await shown(anna) == (2, False)
    assert [await follow(bert, anna, on=0), await follow(bert, anna, on=0)] == [1, 1]
    assert await shown(bert, user_id=anna.id) == (1, False)
    assert (await anna.post(FOLLOW, user_id=anna.id, on=1)).refusal == (400, "bad_parameter")
    assert (await anna.post(FOLLOW, user_id="99999999", on=1)).refusal == (404, "no_such_user")


async def test_a_block_ends_follows_in_both_directions_and_prevents_them(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna, bert = await api.user("anna"), await api.user("bert")
    await follow(anna, bert)
    await follow(bert, anna)
    (await anna.post(BLOCK, user_id=bert.id, blocked=1)).ok()
    for user in (anna, bert):
        assert (await user.get(FOLLOW)).ok() == []
        assert await shown(user) == (0, False)
    for user, other in ((anna, bert), (bert, anna)):
        refused = await user.post(FOLLOW, user_id=other.id, on=1)
        assert refused.refusal == (403, "blocked")
    (await anna.post(BLOCK, user_id=bert.id, blocked=0)).ok()

    async def block() -> None:
        (await bert.post(BLOCK, user_id=anna.id, blocked=1)).ok()

    run_after(server.context.services.moderation.user_safety, "check_pair", block)
    refused = await anna.post(FOLLOW, user_id=bert.id, on=1)
    assert refused.refusal == (403, "blocked"), "a block while the user begins to follow"
    assert (await anna.get(FOLLOW)).ok() == []


async def test_a_follow_that_a_killed_block_has_left_can_be_ended(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna, bert = await api.user("anna"), await api.user("bert")
    await follow(anna, bert)
    await server.context.stores.user_blocks.put(bert.id, anna.id)
    ended = (await anna.post(FOLLOW, user_id=bert.id, on=0)).ok()
    assert ended == {"followed": False, "followers": 0}


async def test_followed_users_who_are_live_come_first_and_a_private_live_is_not_shown(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna")
    early, late, hidden = [await api.host(name) for name in ("early", "late", "hidden")]
    private = {"live_id": hidden.live_id, "visibility": "private"}
    (await hidden.post("qlive_room/update_room/", **private)).ok()
    followers = {"live_id": late.live_id, "visibility": "followers"}
    (await late.post("qlive_room/update_room/", **followers)).ok()
    others = [await api.user(f"user{number}") for number in range(LIST_PAGE_SIZE - 2)]
    for user in (late, early, hidden, *others):
        await follow(anna, user)
    first, second, third = [(await anna.get(FOLLOW, page=page)).ok() for page in (1, 2, 3)]
    live = [{"nickname": user.name, "live_id": user.live_id} for user in (late, early)]
    assert [{name: row[name] for name in ("nickname", "live_id")} for row in first[:2]] == live
    assert [row["nickname"] for row in first[2:]] == [user.name for user in reversed(others)]
    face = {"user_id": hidden.id, "nickname": "hidden", "face_url": ""}
    assert (second, third) == ([{**face, "live_id": None}], [])
    db.users.update_one({"_id": late.id}, {"$set": {"banned": True}})
    assert [row["live_id"] for row in (await anna.get(FOLLOW)).ok()[:2]] == [None, early.live_id]
    room = await server.context.stores.rooms.of_host(early.id)
    assert room
    epochs = {row["of"]: row["epoch"] for row in db.follows.find()}
    assert (epochs[early.id], epochs[others[0].id]) == (room.epoch, "")
