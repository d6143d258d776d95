"""Simulated sanctions of IM, and what they mean to a chat client."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from config.sections import ImSettings
from devtools.simulator.im import SimulatedIm
from devtools.simulator.wire import SimulatorRequest
from tests.support.tencent import Clock

KEY, APP = "key", 1400000000


@pytest.fixture
def im(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedIm:
    """With an account "anna" and two groups; the signing package is on its clock, too."""
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    im = SimulatedIm(ImSettings(sdk_app_id=APP, secret_key=KEY), clock)
    im.accounts["anna"] = {}
    im.groups |= {"room_1": {}, "room_2": {}}
    return im


def usersig() -> str:
    return TLSSigAPIv2(APP, KEY).gen_sig("anna", 3600)


def chat(im: SimulatedIm, sig: str, group_id: str | None = None, user_id: str = "anna") -> int:
    content = {"user_id": user_id, "user_sig": sig, "group_id": group_id}
    return error_code(im, json.dumps(content).encode())


def error_code(im: SimulatedIm, body: bytes) -> int:
    reply = im.chat(SimulatorRequest("POST", "/phone/chat", body=body))
    code: int = json.loads(reply.body)["ErrorCode"]
    return code


def mute(im: SimulatedIm, seconds: int = 60, **change: Any) -> int:
    content = {"GroupId": "room_1", "Members_Account": ["anna"], "MuteTime": seconds, **change}
    return im.sanctions.forbid_send_msg(content)[0]


def test_kick_ends_the_usersigs_signed_before(im: SimulatedIm, clock: Clock) -> None:
    old = usersig()
    assert chat(im, old) == 0
    assert im.sanctions.kick({"UserID": "anna"}) == (0, {})
    assert chat(im, old) == 70052
    clock.now += 1
    assert chat(im, old) == 70052
    assert chat(im, usersig()) == 0
    assert im.sanctions.kick({"UserID": "unknown"}) == (70107, {})


def test_muted_user_cannot_send_until_the_mute_ends(im: SimulatedIm, clock: Clock) -> None:
    sig = usersig()
    assert chat(im, sig, "room_1") == 0
    assert mute(im) == 0
    assert (chat(im, sig, "room_1"), chat(im, sig, "room_2"), chat(im, sig)) == (10017, 0, 0)
    clock.now += 60
    assert chat(im, sig, "room_1") == 0


def test_mute_is_lifted_with_0_and_ends_with_the_group(im: SimulatedIm) -> None:
    sig = usersig()
    assert mute(im, 4294967295) == 0
    assert chat(im, sig, "room_1") == 10017
    assert mute(im, 0) == 0
    assert chat(im, sig, "room_1") == 0
    mute(im)
    im._destroy_group({"GroupId": "room_1"})
    assert chat(im, sig, "room_1") == 10010
    im._create_group({"Type": "AVChatRoom", "GroupId": "room_1", "Name": "a"})
    assert chat(im, sig, "room_1") == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"GroupId": "room_3"}, 10010),
        ({"Members_Account": ["unknown"]}, 70107),
    ],
)
def test_invalid_mute_gets_the_error_code_of_tencent(
    im: SimulatedIm, change: dict[str, Any], code: int
) -> None:
    assert mute(im, **change) == code


def test_chat_client_needs_its_own_usersig(im: SimulatedIm) -> None:
    assert error_code(im, b"no json") == 60003
    assert error_code(im, b"{}") == 70002
    assert chat(im, usersig(), user_id="bert") == 70013
