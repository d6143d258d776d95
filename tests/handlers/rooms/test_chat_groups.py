"""A chat group that Tencent IM has dissolved; tests/services/chat shows the other cases."""

import pytest

from runtime.process import ServerProcess
from services.chat import im_relay
from tests.support.api import ApiFixture
from tests.support.chat import group_of
from tests.support.waiting import until


async def test_room_receives_its_new_group_and_the_relay_continues_there(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(im_relay, "GROUP_RETRY_SECONDS", 0.1)
    assert server.simulator
    im = server.simulator.im
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id, gold=10)
    dissolved = await group_of(host)
    socket = await guest.connect()
    await socket.next("snapshot")
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
