import json
import re
from typing import Any

import pytest

from tests.phones import Street
from tests.realtime.wire import PING, TEXT, dial

pytestmark = pytest.mark.programs


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"realtime": {"heartbeat_seconds": 0.2, "silent_seconds": 2.5}}


@pytest.mark.gen_test(timeout=20)
async def test_a_heartbeat_brings_the_number_and_a_ping(street: Street) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    wire = await dial(host)
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    beats = []
    while (frame := await wire.next()) and frame[0] != PING:
        beats.append(json.loads(frame[1]))
    assert frame is not None
    assert (beats[-1]["type"], beats[-1]["seq"]) == ("heartbeat", 1)
    assert beats[-1]["ts"] > 1_690_000_000_000
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_whoever_says_nothing_at_all_is_silent_and_who_answers_pings_is_not(
    street: Street,
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    answering = await bert.connect()
    wire = await dial(host)
    said = await wire_until_bye(wire)
    assert said["code"] == 4003
    assert said["reconnect"] is True
    for _ in range(2):  # the rounds go on, and this one is still here
        while (frame := await answering.frame())["type"] != "heartbeat":
            assert frame["type"] != "bye"
    await wire.close()


async def wire_until_bye(wire: Any) -> dict[str, Any]:
    while found := await wire.next():
        frame = json.loads(found[1]) if found[0] == TEXT else {"type": ""}
        if frame["type"] == "bye":
            answer: dict[str, Any] = frame
            return answer
    raise AssertionError("no goodbye")


@pytest.mark.gen_test(timeout=20)
async def test_the_audience_is_shown_as_people_come_apply_and_go(street: Street) -> None:
    host = await street.host()
    socket = await host.connect()
    assert (await socket.frame())["data"]["num_list"] == [0, 0, 0, 0]
    anna = await street.guest("anna", 2, host.live_id)
    assert await socket.audience() == {"audience_count": 2, "num_list": [0, 0, 0, 1]}
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    assert await socket.audience() == {"audience_count": 2, "num_list": [0, 0, 1, 1]}
    for _ in range(2):
        (await anna.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    assert await socket.audience() == {"audience_count": 1, "num_list": [0, 0, 0, 0]}


@pytest.mark.gen_test(timeout=20)
async def test_however_often_people_come_and_go_no_count_is_negative(street: Street) -> None:
    host = await street.host()
    socket = await host.connect()
    await socket.next("snapshot")  # which would count whoever comes before it
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    for _ in range(8):
        for phone in (anna, bert):
            (await phone.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
            (await phone.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
            (await phone.get("get_playurl/", live_id=host.live_id)).ok()
    (await bert.get("qlive_user/logout/")).ok()
    texts = []
    while not texts or '"num_list":[0,0,0,1]' not in texts[-1]:
        texts.append(await socket.connection.recv())
    counted = [text for text in texts if '"audience"' in text]
    assert counted
    assert not [text for text in counted if re.search(r"-\d", text)]
