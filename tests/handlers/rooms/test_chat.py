"""Tencent IM that is slow, or has dissolved a chat group; tests/services/chat has more."""

import asyncio
from types import SimpleNamespace

import pytest

from devtools.simulator import simulator
from runtime.process import ServerProcess
from services.chat import im_relay
from tests.support.api import ApiFixture
from tests.support.chat import chat, group_of, user_sig
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


async def test_a_chat_line_is_kept_and_blocked_words_and_an_imitation_of_a_gift_are_refused(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    group_id, sig = await group_of(anna), await user_sig(anna)
    assert await chat(api, anna.id, sig, group_id, text="你好") == 0
    assert await chat(api, anna.id, sig, group_id, custom='{"type": "gift"}') == 10104
    assert await chat(api, anna.id, sig, group_id, text="加 ＶＸ 聊") == 10105
    invitation, host_sig = '{"type": "invite"}', await user_sig(host)
    assert await chat(api, anna.id, sig, to=host.id, custom=invitation) == 120005
    assert await chat(api, host.id, host_sig, to=anna.id, custom=invitation) == 0
    stranger = await api.user("stranger", 1)
    assert await chat(api, stranger.id, await user_sig(stranger), group_id, text="你好") == 10107
    lines = server.context.stores.chat_lines

    async def stored() -> list[tuple[str, str]]:
        return [line[:2] for line in await lines.last_lines(host.live_id)]

    async def is_stored() -> bool:
        return await stored() == [(anna.id, "你好")]

    await until(is_stored)


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
