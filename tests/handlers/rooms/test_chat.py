"""Chat groups: mutes and bans in them, Tencent IM that is slow or has dissolved one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from devtools.simulator import simulator
from runtime.process import ServerProcess
from services.chat import im_relay
from tests.support.api import ApiFixture
from tests.support.chat import MUTED, OK, chat, group_of, until_delivered, user_sig
from tests.support.mic import take_seat
from tests.support.waiting import until


async def test_slow_im_delays_neither_mic_calls_nor_profile_changes(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    monkeypatch.setattr(simulator, "asyncio", SimpleNamespace(sleep=lambda _seconds: over.wait()))
    for service in server.context.tencent.services:
        service.timeout = 120  # a call that waits for IM takes longer than all may
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await api.outage("im", seconds=60)
    async with asyncio.timeout(60):
        (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
        await take_seat(anna)
        (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
        await api.user("new", 1)
        (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
        (await host.post("qlive_room/matchmaker_enter/")).ok()
    await api.outage("im")
    over.set()
    assert server.simulator
    accounts = server.simulator.im.accounts
    await until(lambda: accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == "安娜")


async def test_room_receives_its_new_group_and_the_relay_continues_there(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(im_relay, "GROUP_RETRY_SECONDS", 0.1)
    assert server.simulator
    im = server.simulator.im
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id, gold=10)
    dissolved = await group_of(host)
    socket = await guest.watch()
    del im.groups[dissolved]
    (await guest.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)).ok()
    await socket.next("gift")
    group_id = (await socket.next("group"))["data"]["group_id"]
    assert group_id != dissolved

    def groups_of_gifts() -> list[str]:
        return [sent["group"] for sent in im.messages if '"type": "gift"' in sent["text"]]

    await until(lambda: groups_of_gifts() == [group_id])
    assert list(im.groups) == [group_id]
    assert await group_of(guest) == group_id
    assert (await host.post("qlive_room/matchmaker_enter/")).ok()["group_id"] == group_id
    [listed] = (await guest.get("get_livelist/")).ok()
    assert listed["group_id"] == group_id
    late = await host.connect()
    assert (await late.next("snapshot"))["data"]["group_id"] == group_id


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

    async def code_of() -> int:
        await until_delivered(server)
        return await chat(api, anna.id, sig, group_id)

    calls = (
        ("mute", {"user_id": anna.id, "minutes": 5}, MUTED),
        ("mute", {"user_id": anna.id, "minutes": 0}, OK),
        ("mute_all", {"on": True}, MUTED),
        ("mute_all", {"on": False}, OK),
        ("mute", {"user_id": anna.id, "minutes": 5}, MUTED),
    )
    for path, params, code in calls:
        assert (await anna.post(f"{ROOM}{path}/", **params, **room)).refusal == (403, "not_host")
        (await host.post(f"{ROOM}{path}/", **params, **room)).ok()
        await socket.next(path)
        assert await code_of() == code, (path, params)
    (await host.post(f"{ROOM}live_end/", **room)).ok()
    assert await code_of() == OK
