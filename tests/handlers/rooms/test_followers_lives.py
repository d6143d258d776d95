"""Lives for followers, and what followers receive when a live begins, over HTTP and WebSocket."""

from structlog.testing import capture_logs

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.races import run_before
from tests.support.waiting import until

ENTER, FOLLOW, PLAY = "qlive_room/matchmaker_enter/", "qlive_follow/", "get_playurl/"
FOLLOWERS_ONLY = (403, "followers_only")


async def follow(user: ApiClient, host: ApiClient, on: int = 1) -> None:
    (await user.post(FOLLOW, user_id=host.id, on=on)).ok()


async def begin(host: ApiClient, visibility: str = "followers") -> int:
    host.live_id = (await host.post(ENTER, visibility=visibility)).ok()["live_id"]
    return host.live_id


async def announced(socket: Socket, end: str = "pong") -> list[str]:
    """Nicknames of the hosts in `live_started`, up to that of the host `end` or the next pong."""
    if end == "pong":
        await socket.send(type="ping", n=1)
    hosts: list[str] = []
    while hosts[-1:] != [end] and (frame := await socket.frame())["type"] != end:
        if frame["type"] == "live_started":
            hosts.append(frame["data"]["host"]["nickname"])
    return hosts


async def test_a_live_for_followers_is_entered_by_followers_by_ticket_and_by_its_members(
    api: ApiFixture,
) -> None:
    host = await api.matchmaker()
    anna, bert, carl = [await api.user(name) for name in ("anna", "bert", "carl")]
    room = {"live_id": await begin(host)}
    await follow(anna, host)
    assert (await anna.get("get_livelist/")).ok() == []
    assert [row["live_id"] for row in (await anna.get(FOLLOW)).ok()] == [host.live_id]
    assert (await bert.get(PLAY, **room)).refusal == FOLLOWERS_ONLY
    (await anna.get(PLAY, **room)).ok()
    ticket = (await host.post("qlive_room/invitation/", **room, by="link")).ok()["ticket"]
    (await bert.get(PLAY, ticket=ticket)).ok()
    await follow(anna, host, on=0)
    (await anna.get(PLAY, **room)).ok()  # who is inside comes back
    (await anna.get("qlive_room/leave_room/", **room)).ok()
    assert (await anna.get(PLAY, **room)).refusal == FOLLOWERS_ONLY
    anna.live_id = host.live_id
    update = {**room, "visibility": "public"}
    assert (await host.post("qlive_room/update_room/", **update)).ok() == {"detail": "OK"}
    (await anna.get(PLAY, **room)).ok()
    socket = await anna.watch()
    update = {**room, "visibility": "followers"}
    assert (await host.post("qlive_room/update_room/", **update)).ok() == {"detail": "OK"}
    data = (await socket.next("visibility"))["data"]
    assert (data["visibility"], data["by"]["user_id"]) == ("followers", host.id)
    assert (await carl.get(PLAY, **room)).refusal == FOLLOWERS_ONLY


async def test_a_follower_outside_the_live_becomes_a_deputy_unless_the_room_bans_them(
    api: ApiFixture,
) -> None:
    host, anna = await api.host(), await api.user("anna")
    deputy = {"user_id": anna.id, "on": 1}
    assert (await host.post("qlive_room/deputy/", **deputy)).refusal == (409, "not_in_room")
    await follow(anna, host)
    (await host.post("qlive_room/deputy/", **deputy)).ok()
    assert [row["user_id"] for row in (await host.get("qlive_room/deputies/")).ok()] == [anna.id]
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=anna.id)).ok()
    assert (await host.post("qlive_room/deputy/", **deputy)).refusal == (409, "not_in_room")
    assert (await host.get("qlive_room/deputies/")).ok() == []


# ---- live_started


async def test_followers_with_a_socket_are_told_once_that_a_live_has_begun(
    api: ApiFixture,
) -> None:
    """Neither strangers, nor users whom the host has removed; and of no private live."""
    watched, first, last = await api.host("watched"), await api.matchmaker(), await api.host("last")
    users = [await api.guest(name, 1, last.live_id) for name in ("anna", "bert", "carl", "dora")]
    anna, bert, stranger, removed = users
    (await last.post("qlive_room/put_out/", live_id=last.live_id, user_id=removed.id)).ok()
    (await last.post("qlive_room/live_end/", live_id=last.live_id)).ok()
    for host, *followers in ((first, anna, bert), (last, anna, bert, removed)):
        for follower in followers:
            await follow(follower, host)
    (await bert.get(PLAY, live_id=watched.live_id)).ok()
    sockets = [await user.user_channel() for user in (anna, stranger, removed)]
    for socket in (*sockets, room_socket := await bert.connect(watched.live_id)):
        await socket.next("snapshot")
    live_id = await begin(first)
    data = await room_socket.data_of("live_started")
    shown = {"user_id": first.id, "nickname": "红娘", "face_url": ""}
    assert data == {"host": shown, "live_id": live_id, "room_name": "红娘"}
    await begin(first)  # it resumes
    (await first.post("qlive_room/live_end/", live_id=live_id)).ok()
    await begin(first, "private")
    await begin(last, "public")
    assert await announced(room_socket, "last") == ["last"]
    assert await announced(sockets[0], "last") == ["红娘", "last"]
    assert [await announced(socket) for socket in sockets] == [[], [], []]


async def test_a_failure_to_tell_followers_is_logged_and_concerns_nobody_else(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, anna = await api.matchmaker(), await api.user("anna")
    await follow(anna, host)
    socket = await anna.user_channel()
    await socket.next("snapshot")

    async def fail() -> None:
        raise ConnectionError

    run_before(server.context.stores.follows, "followers_among", fail)
    with capture_logs() as logs:
        live_id = await begin(host)
        await until(lambda: any(row["event"] == "live_not_announced" for row in logs))
    (await host.post("qlive_room/live_end/", live_id=live_id)).ok()
    await begin(host)
    assert (await socket.data_of("live_started"))["live_id"] == live_id
