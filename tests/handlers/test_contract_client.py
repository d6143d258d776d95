"""A mini-program written from the API contract alone completes every flow, on default settings.

`MiniProgram` has the calls of the contract in its words. The test plays WeChat, through the
simulator, and IM.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from config.settings import Settings
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
from tests.support.callbacks import CallbackSender, message
from tests.support.chat import chat
from tests.support.payments import notification_statuses

EXAMPLES = json.loads(Path(__file__).with_name("contract_examples.json").read_text())
"""The contract's example of each response."""
TYPES: dict[str, tuple[type, ...]] = {
    # the example has "" for a number, or null for a time
    **dict.fromkeys(("login.live_id", "qlive_pay[].id", "qlive_pay[].gold"), (int,)),
    **dict.fromkeys(("accept_micro.age", "matchmaker_enter.live_id"), (int,)),
    **dict.fromkeys(("get_userinfo.last_login_time", "update_userinfo.last_login_time"), (str,)),
    # other users' are secret
    **dict.fromkeys(("get_userinfo.gold", "get_userinfo.income"), (int, NoneType)),
    "get_userinfo.user_sig_expired": (str, NoneType),
    # there may be no room, or no such page
    "get_user_state.live_id": (int, str),
    **dict.fromkeys(("qlive_gift.next", "qlive_gift.previous"), (str, NoneType)),
}
SEATS = ("get_playurl.male", "get_playurl.female")
OF_A_ROOM = {"user_type", "live_room_name", "live_id", "group_id"}
"""Fields of a login that the contract promises with login_type 1 only."""
OK = {"detail": "OK"}
FACE = "https://images.daqinjia.cn/tmp_27cd8ec800bd8c21572d9d4c.jpg"


def differences(path: str, example: Any, actual: Any) -> Iterator[str]:
    """Yield each path of the example that is missing, or whose JSON type differs."""
    if path in TYPES:
        if type(actual) not in TYPES[path]:
            yield f"{path}: {actual!r} has the wrong type"
    elif type(example) is not type(actual):
        yield f"{path}: {actual!r} instead of {example!r}"
    elif isinstance(example, list):
        for item in actual:
            yield from differences(f"{path}[]", example[0], item)
    elif isinstance(example, dict) and (actual or path not in SEATS):
        for name, value in example.items():
            yield from differences(f"{path}.{name}", value, actual.get(name, ...))


CALLS = {
    "login": "POST qlive_user/login/ appId code",
    "create_user": "POST qlive_user/ appId code encryptedData iv",
    "update_userinfo": "POST qlive_user/update_userinfo/ nickname gender age area face_url",
    "get_userinfo": "GET qlive_user/get_userinfo/ user_id",
    "get_livelist": "GET get_livelist/ page",
    "qlive_gift": "GET qlive_gift/ page",
    "qlive_pay": "GET qlive_pay/",
    "get_playurl": "GET get_playurl/ live_id",
    "get_users_info": "GET qlive_user/get_users_info/ live_id gender page",
    "apply_micro": "POST qlive_room/apply_micro/ live_id",
    "accept_micro": "POST qlive_room/accept_micro/ live_id",
    "leave_micro": "GET qlive_room/leave_micro/ live_id user_id gender",
    "live_end": "POST qlive_room/live_end/ live_id",
    "push_gift": "GET qlive_gift/push_gift/ user_id gift_id num",
    "order": "POST qlive_pay/ block_id",
    "matchmaker_enter": "POST qlive_room/matchmaker_enter/",
    "leave_room": "GET qlive_room/leave_room/ live_id",
    "logout": "GET qlive_user/logout/",
    "refuse_micro": "POST qlive_room/refuse_micro/ live_id",
    "get_configs": "GET get_configs/",
    "get_user_state": "GET qlive_user/get_user_state/",
    "like": "POST qlive_like/ user_id like_state",
    "like_state": "GET qlive_like/ user_id",
}
"""All calls of the contract: method, path and parameters."""


class MiniProgram:
    """Sends the calls as wx.request does, with "" for each parameter that has no value.

    Each response is compared with its example.
    """

    def __init__(self, api: ApiFixture, answered: set[str]) -> None:
        """`answered` collects the names of the calls."""
        self._api, self._answered = api, answered
        self.token = self.user_id = self.user_sign = self.sdk_app_id = ""

    async def call(self, name: str, **values: Any) -> Any:
        method, path, *fields = CALLS[name].split()
        data = dict.fromkeys(fields, "") | values
        return await self._request(name, method, BASE + path, data)

    async def _request(self, name: str, method: str, path: str, data: dict[str, Any]) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"QLiveToken {self.token}"
        options: dict[str, Any] = {"params": {key: str(value) for key, value in data.items()}}
        if method == "POST":
            options = {"data": json.dumps(data) if data else None}
        answer = (await self._api.request(method, path, headers=headers, **options)).ok()
        example = EXAMPLES[name]
        if name == "login" and answer["login_type"] == 0:
            example = {key: value for key, value in example.items() if key not in OF_A_ROOM}
        assert not list(differences(name, example, answer))
        self._answered.add(name)
        return answer

    async def sign_in(self, name: str, **values: str) -> Any:
        """By login or create_user."""
        answer = await self.call(name, appId="wxca891295c56f2c79", **values)
        for field in ("token", "user_id", "user_sign", "sdk_app_id"):
            setattr(self, field, answer[field])
        return answer

    async def user_type(self) -> Any:
        return (await self.call("get_user_state"))["user_type"]

    async def states(self, live_id: int, gender: int) -> dict[str, int]:
        """Of the users of a gender in the room, by user id."""
        users = await self.call("get_users_info", live_id=live_id, gender=gender, page="1")
        return {user["user_id"]: user["state"] for user in users}

    async def gifts(self) -> list[Any]:
        """From all pages; the example's next one exists, too."""
        page = await self.call("qlive_gift", page="1")
        gifts = list(page["results"])
        while page["next"]:
            following = page["next"].removeprefix(self._api.address)
            page = await self._request("qlive_gift", "GET", following, {})
            gifts += page["results"]
        assert len(gifts) == page["count"]
        path = EXAMPLES["qlive_gift"]["next"].partition("/qlive/")[2]
        example = await self._request("qlive_gift", "GET", BASE + path, {})
        assert example["results"] == page["results"]
        return gifts


class Outside:
    """WeChat on the phones, by the simulator, and Tencent IM; opens mini-programs."""

    def __init__(self, api: ApiFixture, server: ServerProcess) -> None:
        self.api, self.server, self.answered = api, server, set[str]()

    def mini_program(self) -> MiniProgram:
        return MiniProgram(self.api, self.answered)

    async def invite(self, host: MiniProgram, guest: MiniProgram) -> None:
        """The host sends a custom message over IM, which reports it by its callback."""
        sender = CallbackSender(self.api, self.server.settings)
        answer = await sender.im(message(host.user_id, guest.user_id))
        assert answer.ok() == {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}


@pytest.fixture
def changes() -> dict[str, Any]:
    """The tests' settings that differ from the defaults for a client."""
    return {"limits": dict(Settings().limits), "ops": dict(Settings().ops)}


@pytest.fixture
def demo_users() -> bool:
    """One of them is the matchmaker."""
    return True


async def test_every_flow_of_the_contract(http_api: ApiFixture, server: ServerProcess) -> None:
    outside = Outside(http_api, server)
    users = await sign_in(outside)
    await edit_profiles(users)
    live_id = await open_and_enter(outside, users)
    await take_seats(outside, live_id, users)
    await leave_seats(outside, live_id, users)
    await recharge_and_give(outside, users)
    await like(users)
    await leave(live_id, users)
    assert outside.answered == EXAMPLES.keys() == CALLS.keys()


async def sign_in(outside: Outside) -> list[MiniProgram]:
    """A known matchmaker, a user with WeChat's profile, and two whom WeChat no longer describes."""
    host, anna, bert, carl = users = [outside.mini_program() for _ in range(4)]
    phone = await outside.api.wechat("hongniang1")
    assert (await host.sign_in("login", code=phone["code"]))["status"] == 0
    phone = await outside.api.wechat("安娜", 2)
    assert (await anna.sign_in("login", code=phone["code"]))["status"] == 1
    profile = {name: phone[name] for name in ("code", "encryptedData", "iv")}
    await anna.sign_in("create_user", **profile)
    for user, name in ((bert, "bert"), (carl, "carl")):
        code = (await outside.api.wechat(name))["code"]
        assert (await user.sign_in("login", code=code))["status"] == 1
        await user.sign_in("create_user", code=code)
    user_id, phone = anna.user_id, await outside.api.wechat("安娜")
    login = await anna.sign_in("login", code=phone["code"])
    assert (login["status"], login["login_type"], anna.user_id) == (0, 0, user_id)
    no_room = dict.fromkeys(OF_A_ROOM, "") | {"user_type": 0}
    assert await anna.call("get_user_state") == no_room
    await anna.call("get_configs")
    return users


async def edit_profiles(users: list[MiniProgram]) -> None:
    _, anna, bert, carl = users
    assert (await anna.call("get_userinfo"))["nickname"] == "安娜"
    form = {"nickname": "志明", "gender": "1", "age": "30", "area": "310100", "face_url": FACE}
    stored = {**form, "gender": 1, "age": 30}
    for user in (bert, carl):
        assert (await user.call("update_userinfo", **form)).items() >= stored.items()
    assert (await anna.call("get_userinfo", user_id=bert.user_id)).items() >= stored.items()
    await anna.call("update_userinfo", area="110100", face_url=FACE, height="165")
    own = await anna.call("update_userinfo", area=None, face_url=None)
    cleared = {"nickname": "安娜", "area": "", "face_url": "", "height": 165}
    assert own.items() >= cleared.items()
    assert (await anna.call("update_userinfo", face_url=FACE))["face_url"] == FACE


async def open_and_enter(outside: Outside, users: list[MiniProgram]) -> int:
    """Returns the live_id."""
    host, anna, bert, carl = users
    room = await host.call("matchmaker_enter")
    assert (room["status"], room["user_id"]) == ("ok", host.user_id)
    assert (room["push_url"][:7], room["play_url"][:7]) == ("rtmp://", "rtmp://")
    live_id: int = room["live_id"]
    state = {"live_id": live_id, "group_id": room["group_id"], "user_type": 5}
    assert (await host.call("get_user_state")).items() >= state.items()
    for user in (anna, bert, carl):
        [listed] = await user.call("get_livelist", page="1")
        assert (listed["id"], listed["group_id"]) == (live_id, room["group_id"])
        assert listed["player"] == {"boy": "", "girl": ""}
        entered = await user.call("get_playurl", live_id=listed["id"])
        assert (entered["owner"]["user_id"], entered["user_type"]) == (host.user_id, 1)
        assert entered["anchor_info"] == {name: room[name] for name in ("nickname", "face_url")}
        assert (entered["male"], entered["female"], entered["push_url"]) == ({}, {}, "")
        assert await user.user_type() == 1
        assert await chat(outside.api, user.user_id, user.user_sign, listed["group_id"]) == 0
    assert await host.states(live_id, 1) == {bert.user_id: 0, carl.user_id: 0}
    assert await host.states(live_id, 2) == {anna.user_id: 0}
    return live_id


async def take_seats(outside: Outside, live_id: int, users: list[MiniProgram]) -> None:
    """The host invites a viewer over IM; another one applies."""
    host, anna, bert, _ = users
    await outside.invite(host, bert)
    seat = await bert.call("accept_micro", live_id=live_id)
    assert (seat["user_id"], seat["nickname"], seat["age"]) == (bert.user_id, "志明", 30)
    assert await anna.call("apply_micro", live_id=live_id) == OK
    assert await anna.user_type() == 2
    assert await host.states(live_id, 2) == {anna.user_id: 1}
    await anna.call("accept_micro", live_id=live_id)
    for user, user_type, own_seat in ((bert, 3, "male"), (anna, 4, "female")):
        room = await user.call("get_playurl", live_id=live_id)
        assert (room["user_type"], room[own_seat]["user_id"]) == (user_type, user.user_id)
        assert (room["push_url"][:7], room[own_seat]["play_url"][:7]) == ("rtmp://", "rtmp://")
    [listed] = await host.call("get_livelist")
    assert listed["player"] == {"boy": FACE, "girl": FACE}
    login = await bert.sign_in("login", code=(await outside.api.wechat("bert"))["code"])
    assert (login["login_type"], login["live_id"], login["user_type"]) == (1, live_id, 3)


async def leave_seats(outside: Outside, live_id: int, users: list[MiniProgram]) -> None:
    """Of their own, or because of the host, who may invite a guest again and be refused."""
    host, anna, bert, carl = users
    own = {"live_id": live_id, "user_id": bert.user_id, "gender": "1"}
    assert await bert.call("leave_micro", **own) == OK
    assert await host.call("leave_micro", live_id=live_id, user_id=anna.user_id, gender="2") == OK
    assert [await user.user_type() for user in (bert, anna)] == [1, 1]
    for guest, user_type in ((anna, 4), (carl, 3)):
        await outside.invite(host, guest)
        await guest.call("accept_micro", live_id=live_id)
        assert await guest.user_type() == user_type
    await bert.call("apply_micro", live_id=live_id)
    await outside.invite(host, bert)
    assert await bert.call("refuse_micro", live_id=live_id) == OK
    assert await bert.user_type() == 1


async def recharge_and_give(outside: Outside, users: list[MiniProgram]) -> None:
    host, anna, *_ = users
    block, *_ = await anna.call("qlive_pay")
    order = await anna.call("order", block_id=block["id"])
    assert order["success"] == "success"
    payment = {"content": order["content"]}
    (await outside.api.request("POST", "/sim/phone/pay", json=payment)).ok()
    await notification_statuses(outside.server)
    assert (await anna.call("get_userinfo"))["gold"] == block["gold"]
    gift = next(gift for gift in await anna.gifts() if 2 < gift["gold"] < block["gold"] / 2)
    given = await anna.call("push_gift", user_id=host.user_id, gift_id=gift["id"], num=2)
    assert (given["status"], given["gold"]) == ("success", block["gold"] - 2 * gift["gold"])
    assert (await host.call("get_userinfo"))["income"] > 0


async def like(users: list[MiniProgram]) -> None:
    _, anna, bert, _ = users
    for like_state in (1, 0):
        await anna.call("like", user_id=bert.user_id, like_state=like_state)
        stored = await anna.call("like_state", user_id=bert.user_id)
        assert stored == {"like_state": like_state}


async def leave(live_id: int, users: list[MiniProgram]) -> None:
    host, anna, bert, carl = users
    assert await carl.call("leave_room", live_id=live_id) == OK
    assert await bert.call("logout") == OK
    assert await host.states(live_id, 1) == {}
    assert await host.call("live_end", live_id=live_id) == OK
    assert [await user.user_type() for user in (host, anna, carl)] == [0, 0, 0]
    assert await carl.call("get_livelist", page="1") == []
    for user in (host, anna, carl):
        assert await user.call("logout") == OK
