"""Users whom a host keeps away: the bans that she sees and lifts, and mutes in the chat."""

from typing import Any

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.chat import MUTED, OK, chat, group_of, until_delivered, user_sig

ROOM = "qlive_room/"


async def test_a_host_sees_and_lifts_her_bans_but_not_those_of_an_operator(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    bert, carl = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    room = {"live_id": host.live_id}
    (await host.post(f"{ROOM}put_out/", user_id=bert.id, minutes=5, **room)).ok()
    removal = {"user_id": carl.id, "minutes": 5, "reason": "x"}
    (await api.ops("POST", f"rooms/{host.live_id}/put_out", **removal)).ok()
    over = {f"barred.{bert.id}": 1}  # a ban by an operator, long ago
    db.rooms.update_one({"_id": host.live_id}, {"$set": over})
    bans = (await host.get(f"{ROOM}bans/", **room)).ok()
    assert {ban["user_id"]: ban["by_operator"] for ban in bans} == {bert.id: False, carl.id: True}
    for reply in (
        await bert.get(f"{ROOM}bans/", **room),
        await bert.post(f"{ROOM}let_in/", user_id=bert.id, **room),
    ):
        assert reply.refusal == (403, "not_host")
    refused = await host.post(f"{ROOM}let_in/", user_id=carl.id, **room)
    assert refused.refusal == (403, "operator_ban")
    (await host.post(f"{ROOM}let_in/", user_id=bert.id, **room)).ok()
    (await bert.get("get_playurl/", **room)).ok()
    assert [ban["user_id"] for ban in (await host.get(f"{ROOM}bans/", **room)).ok()] == [carl.id]


async def test_a_mute_reaches_the_room_and_im_until_it_is_lifted_or_the_live_ends(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    room, group_id, sig = {"live_id": host.live_id}, await group_of(anna), await user_sig(anna)
    socket = await anna.watch()

    async def code_of(user_id: str, user_sig: str) -> int:
        await until_delivered(server)
        return await chat(api, user_id, user_sig, group_id)

    calls = (
        ("mute", {"user_id": anna.id, "minutes": 5}, MUTED),
        ("mute", {"user_id": anna.id, "minutes": 0}, OK),
        ("mute_all", {"on": True}, MUTED),
        ("mute_all", {"on": False}, OK),
        ("mute_all", {"on": True}, MUTED),
        ("mute", {"user_id": anna.id, "minutes": 5}, MUTED),
    )
    for path, params, code in calls:
        assert (await anna.post(f"{ROOM}{path}/", **params, **room)).refusal == (403, "not_host")
        (await host.post(f"{ROOM}{path}/", **params, **room)).ok()
        await socket.next(path)
        assert await code_of(anna.id, sig) == code, (path, params)
    (await anna.get(f"{ROOM}leave_room/", **room)).ok()
    (await host.post(f"{ROOM}mute_all/", on=False, **room)).ok()
    (await anna.get("get_playurl/", **room)).ok()
    assert await code_of(anna.id, sig) == MUTED, "leaving and entering again lifts no mute"
    (await host.post(f"{ROOM}mute_all/", on=True, **room)).ok()
    assert await code_of(host.id, await user_sig(host)) == OK
    shown = (await (await host.connect()).next("snapshot"))["data"]
    assert ([row["user_id"] for row in shown["muted"]], shown["mute_all"]) == ([anna.id], True)
    (await host.post(f"{ROOM}live_end/", **room)).ok()
    assert await code_of(anna.id, sig) == OK
    assert (await host.post(f"{ROOM}mute_all/", on=True, **room)).refusal == (409, "not_live")
