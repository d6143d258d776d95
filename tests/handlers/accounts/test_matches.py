"""Matches over HTTP and user channels, and the friendships at IM that follow them."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import until_delivered
from tests.support.mic import take_seat

LIKE, LIST, END = "qlive_like/", "qlive_match/", "qlive_match/end/"


async def on_mic(api: ApiFixture) -> tuple[ApiClient, ApiClient]:
    """A man and a woman who are on mic."""
    host = await api.host()
    bert, anna = [
        await api.guest(name, gender, host.live_id) for name, gender in (("bert", 1), ("anna", 2))
    ]
    for user in (bert, anna):
        await take_seat(user)
    return bert, anna


async def like(*users: ApiClient) -> None:
    """Let two users like one another."""
    for user, other in (users, users[::-1]):
        (await user.post(LIKE, user_id=other.id, like_state=1)).ok()


async def matched(api: ApiFixture) -> tuple[ApiClient, ApiClient]:
    bert, anna = await on_mic(api)
    await like(bert, anna)
    return bert, anna


async def listed(user: ApiClient, page: int = 1) -> list[Any]:
    return (await user.get(LIST, page=page)).ok()


def friends(server: ServerProcess) -> dict[str, set[str]]:
    assert server.simulator
    return {user: {*found} for user, found in server.simulator.im.friends.items() if found}


async def test_two_who_like_one_another_on_mic_are_told_listed_and_friends(
    api: ApiFixture, server: ServerProcess
) -> None:
    bert, anna = await on_mic(api)
    sockets = [await user.user_channel() for user in (bert, anna)]
    for socket in sockets:
        await socket.next("snapshot")
    await like(bert, anna)
    for user, other, socket in zip((bert, anna), (anna, bert), sockets, strict=True):
        event = (await socket.next("match"))["data"]
        assert (event["user"]["user_id"], event["live_id"]) == (other.id, bert.live_id)
        [row] = await listed(user)
        assert {name: row[name] for name in event["user"]} == event["user"]
        assert row["live_id"] == bert.live_id
        assert await listed(user, page=2) == []
    await until_delivered(server)
    assert friends(server) == {bert.id: {anna.id}, anna.id: {bert.id}}


async def test_a_like_that_is_not_returned_shows_nowhere(
    api: ApiFixture, server: ServerProcess
) -> None:
    bert, anna = await api.user("bert", 1), await api.user("anna", 2)
    (await bert.post(LIKE, user_id=anna.id, like_state=1)).ok()
    assert (await anna.get(LIKE, user_id=bert.id)).ok() == {"like_state": 0}
    assert (await bert.get(LIKE, user_id=anna.id)).ok() == {"like_state": 1}
    assert await listed(anna) == await listed(bert) == []
    await server.context.stores.exports.ask(anna.id)
    await server.context.stores.exports.make(anna.id)
    copy = await server.context.stores.exports.part(anna.id, 1)
    assert (copy["likes"], copy["matches"]) == ([], [])


async def test_an_end_is_for_both_and_refused_for_oneself_and_nobody(
    api: ApiFixture, server: ServerProcess
) -> None:
    bert, anna = await matched(api)
    for user_id, refusal in (
        (anna.id, (400, "bad_parameter")),
        ("10000000", (404, "no_such_user")),
    ):
        assert (await anna.post(END, user_id=user_id)).refusal == refusal
    for _ in range(2):
        assert (await anna.post(END, user_id=bert.id)).ok() == {"detail": "OK"}
    (await anna.post(LIKE, user_id=bert.id, like_state=1)).ok()
    assert await listed(bert) == await listed(anna) == []
    await until_delivered(server)
    assert friends(server) == {}
    await server.context.stores.exports.ask(anna.id)
    await server.context.stores.exports.make(anna.id)
    copy = await server.context.stores.exports.part(anna.id, 1)
    assert [row["user_id"] for row in copy["likes"]] == [bert.id]
    assert [(row["user_id"], row["ended"]) for row in copy["matches"]] == [(bert.id, True)]


@pytest.mark.parametrize("by_ban", [True, False])
async def test_a_block_or_ban_ends_the_match_of_both(
    api: ApiFixture, server: ServerProcess, by_ban: bool
) -> None:
    bert, anna = await matched(api)
    if by_ban:
        (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")).ok()
    else:
        (await anna.post("qlive_user/block/", user_id=bert.id, blocked=True)).ok()
    assert await listed(bert) == []
    await until_delivered(server)
    assert friends(server) == {}
