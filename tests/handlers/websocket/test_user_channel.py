"""A user channel, on a socket of its own and beside a room, as a foreign client sees it."""

from contextlib import suppress
from typing import Any

from websockets import ConnectionClosed

from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.payments import create_order, pay_order
from tests.support.websockets import close_code_of

NOWHERE = {"gold": 0, "income": 0, "in_room": None, "invitations": []}


async def pay(api: ApiFixture, client: ApiClient) -> str:
    """Order gold and have the phone pay; returns the number of the order."""
    return str((await pay_order(api, await create_order(client)))["order"])


def position(frame: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}epoch": frame["epoch"], f"{prefix}since": frame["seq"]}


async def test_a_payment_is_told_at_once_and_again_to_a_client_that_missed_it(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    socket = await anna.user_channel()
    first = await socket.next("snapshot")
    assert (first["user_id"], first["seq"], first["data"]) == (anna.id, 0, NOWHERE)
    order = await pay(api, anna)
    paid = await socket.next("payment")
    assert paid["data"] == {"order": order, "gold": 60}
    assert (paid["user_id"], paid["epoch"], paid["seq"]) == (anna.id, first["epoch"], 1)
    while (await socket.data_of("balance")) != {"gold": 60, "income": 0}:
        pass
    again = await anna.user_channel(**position(first))
    assert (await again.next("resumed"))["replayed"] == 1
    assert await again.next() == paid
    other = await anna.user_channel(epoch="other", since=1)
    fresh = await other.next("snapshot")
    assert (fresh["reset"], fresh["data"]) == ("epoch", {**NOWHERE, "gold": 60})


async def test_where_the_user_is_follows_every_way_into_and_out_of_a_room(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.user("bert", 1)
    socket = await bert.user_channel()
    await socket.next("snapshot")
    for enter, leave in (
        (("get_playurl/", bert), ("qlive_room/leave_room/", bert)),
        (("get_playurl/", bert), ("qlive_room/live_end/", host)),
    ):
        (await enter[1].get(enter[0], live_id=host.live_id)).ok()
        while (await socket.data_of("where"))["live_id"] != host.live_id:
            pass
        call = leave[1].post if "end" in leave[0] else leave[1].get
        (await call(leave[0], live_id=host.live_id)).ok()
        while (await socket.data_of("where"))["live_id"] is not None:
            pass


async def test_a_socket_of_a_room_has_the_user_channel_after_the_room(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    alone = await bert.user_channel()
    assert (await alone.next("snapshot"))["data"]["in_room"] == host.live_id
    both = await bert.connect(own=1)
    room, own = await both.next("snapshot"), await both.next("snapshot")
    assert (room["live_id"], own["user_id"]) == (host.live_id, bert.id)
    order = await pay(api, bert)
    assert (await both.next("payment"))["data"]["order"] == order
    assert (await alone.next("payment"))["data"]["order"] == order
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await both.next("micro_apply")
    resumed = await bert.connect(**position(room), own=1, **position(own, "own_"))
    seen = [await resumed.next() for _ in range(4)]
    assert [frame["type"] for frame in seen if "live_id" in frame] == ["resumed", "micro_apply"]
    assert [frame["type"] for frame in seen if "user_id" in frame] == ["resumed", "payment"]
    assert seen[0]["live_id"] == host.live_id, "the first frame is the room's"
    assert await both.close_code() == 4509
    (await bert.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    assert await close_code_of(resumed) == 4504
    await alone.send(type="ping", n=1)
    assert (await alone.next("pong"))["n"] == 1, "a room's socket is none of the three"


async def test_a_fourth_socket_replaces_the_oldest_and_a_closed_one_none(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    sockets = [await open_own(anna) for _ in range(3)]
    await sockets.pop(0).connection.close()
    while True:  # until the place is free, which takes a fraction of a second
        sockets.append(await open_own(anna))
        if await answers(sockets[0]):
            break
        sockets.pop(0)
    fourth = await open_own(anna)
    assert await close_code_of(sockets[0]) == 4509
    await fourth.send(type="ping", n=1)
    await fourth.next("pong")


async def open_own(client: ApiClient) -> Socket:
    socket = await client.user_channel()
    await socket.next("snapshot")
    return socket


async def answers(socket: Socket) -> bool:
    """Whether the socket still answers a ping."""
    with suppress(ConnectionClosed):
        await socket.send(type="ping", n=1)
        return (await socket.next())["type"] == "pong"
    return False


async def test_a_user_channel_gives_no_presence_and_ends_with_token_and_ban(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    socket = await open_own(bert)
    assert db.members.find_one({"_id": bert.id})["socket"] == 0
    ban = {"banned": True, "ban_reason": "x"}
    (await api.ops("PATCH", f"users/{bert.id}", **ban)).ok()
    assert await close_code_of(socket) == 4503
    assert await close_code_of(await bert.user_channel()) == 4503
    anna = await api.user("anna", 2)
    one, other = await open_own(anna), await open_own(ApiClient(api, "anna", await log_in(api)))
    (await anna.get("qlive_user/logout/")).ok()
    assert await close_code_of(one) == 4401
    await other.send(type="ping", n=1)
    await other.next("pong")


async def log_in(api: ApiFixture) -> Any:
    return (await api.log_in("anna")).ok()


async def test_gifts_change_the_balance_of_a_host_and_write_nothing_to_the_channel(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    giver = await api.guest("bert", 1, host.live_id, gold=100)
    socket = await host.user_channel()
    await socket.next("snapshot")
    stored = db.user_channels.find_one({"_id": host.id})
    for _ in range(3):
        (await giver.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=10)).ok()
    while not (await socket.data_of("balance"))["income"]:
        pass
    assert db.user_channels.find_one({"_id": host.id}) == stored
