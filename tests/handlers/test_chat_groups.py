"""Chat groups that Tencent IM has dissolved, or has for others: a complete server."""

import re
from typing import Any
from unittest.mock import AsyncMock

import pytest

from runtime.process import ServerProcess
from services.chat import im_relay
from tencent.errors import ImMisconfigured, ImRejected
from tests.support.api import ApiFixture
from tests.support.callbacks import CallbackSender
from tests.support.chat import group_of
from tests.support.waiting import until

server_test = pytest.mark.gen_test(timeout=30)
ENTER = "qlive_room/matchmaker_enter/"


class ImFixture:
    """The IM of the simulator."""

    def __init__(self, api: ApiFixture, server: ServerProcess) -> None:
        assert server.simulator
        self._callbacks = CallbackSender(api, server)
        self._im: Any = server.simulator.im  # type: ignore[union-attr]

    @property
    def groups(self) -> list[str]:
        return list(self._im.groups)

    @property
    def gifts_to(self) -> list[str]:
        """The group of each gift message."""
        return [it["group"] for it in self._im.messages if '"type": "gift"' in it["text"]]

    async def dissolve(self, group_id: str, report: str = "once") -> None:
        """Without the server; IM tells it, unless the callback is lost."""
        del self._im.groups[group_id]
        if report == "once":
            command = "Group.CallbackAfterGroupDestroyed"
            content = {"CallbackCommand": command, "GroupId": group_id, "MemberList": []}
            (await self._callbacks.im(content)).ok()

    def take(self, group_id: str) -> None:
        """Let others have a group of this id."""
        self._im.groups[group_id] = {"Owner_Account": "other_owner"}


@pytest.fixture
def im(api: ApiFixture, server: ServerProcess) -> ImFixture:
    return ImFixture(api, server)


# ---- creation


@server_test
async def test_first_entry_creates_a_group_under_an_id_that_cannot_be_guessed(
    api: ApiFixture, im: ImFixture
) -> None:
    host = await api.matchmaker()
    group_id = (await host.post(ENTER)).ok()["group_id"]
    assert re.fullmatch("qlive_[0-9a-f]{24}", group_id)
    assert im.groups == [group_id]


@server_test
async def test_host_enters_with_another_group_if_others_have_its_id(
    api: ApiFixture, im: ImFixture, db: Any
) -> None:
    host = await api.matchmaker()
    await api.outage("im", status=500)
    assert (await host.post(ENTER)).refusal == (503, "im_away")
    await api.outage("im")
    planned = db.rooms.find_one()["group_id"]
    im.take(planned)
    group_id = (await host.post(ENTER)).ok()["group_id"]
    assert group_id != planned
    assert im.groups == [planned, group_id]
    assert await group_of(host) == group_id


@server_test
async def test_refusal_by_im_is_not_answered_like_an_outage(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.matchmaker()
    for error in (ImRejected(10036, "quota"), ImMisconfigured()):
        refuse = AsyncMock(side_effect=error)
        monkeypatch.setattr(server.context.tencent.im, "create_group", refuse)
        reply = await host.post(ENTER)
        assert reply.refusal == (503, "im_refused"), error
        assert "refused" in reply.json["detail"], error
        assert "try again" not in reply.json["detail"], error


# ---- dissolved groups


@server_test
async def test_room_receives_its_new_group_and_the_relay_continues_there(
    api: ApiFixture, im: ImFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(im_relay, "GROUP_RETRY_SECONDS", 0.1)
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id, gold=10)
    dissolved = await group_of(host)
    socket = await guest.connect()
    await socket.next("snapshot")
    await im.dissolve(dissolved, report="never")
    (await guest.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)).ok()
    await socket.next("gift")
    group_id = (await socket.next("group"))["data"]["group_id"]
    assert group_id != dissolved
    await until(lambda: im.gifts_to == [group_id])
    assert im.groups == [group_id]
    assert await group_of(guest) == group_id
    assert (await host.post(ENTER)).ok()["group_id"] == group_id
    [listed] = (await guest.get("get_livelist/")).ok()
    assert listed["group_id"] == group_id
    late = await host.connect()
    assert (await late.next("snapshot"))["data"]["group_id"] == group_id


@pytest.mark.parametrize("changes", [{"im": {"relay": False}}])
@server_test
async def test_callback_about_a_dissolved_group_replaces_it(api: ApiFixture, im: ImFixture) -> None:
    host = await api.host()
    socket = await host.connect()
    await socket.next("snapshot")
    await im.dissolve(await group_of(host))
    group_id = (await socket.next("group"))["data"]["group_id"]
    assert im.groups == [group_id]
    assert await group_of(host) == group_id


@pytest.mark.parametrize("changes", [{"im": {"relay": False}}])
@server_test
async def test_next_live_creates_a_dissolved_group_again(api: ApiFixture, im: ImFixture) -> None:
    host = await api.host()
    group_id = await group_of(host)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    await im.dissolve(group_id, report="never")
    assert (await host.post(ENTER)).ok()["group_id"] == group_id
    await until(lambda: im.groups == [group_id])
