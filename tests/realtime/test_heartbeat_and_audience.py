import json
import re
from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.raw_websocket import PING, TEXT, RawWebSocket, connect_raw

pytestmark = pytest.mark.programs


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"realtime": {"heartbeat_seconds": 0.8}}


@pytest.mark.gen_test(timeout=20)
async def test_heartbeat_has_the_last_seq_and_is_followed_by_a_ping(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    client = await connect_raw(host)
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    frames = []
    while (frame := await client.next()) and frame[0] != PING:
        frames.append(json.loads(frame[1]))
    assert frame is not None
    assert (frames[-1]["type"], frames[-1]["seq"]) == ("heartbeat", 1)
    assert frames[-1]["ts"] > 1_690_000_000_000
    await client.close()


@pytest.mark.gen_test(timeout=20)
async def test_silent_client_is_closed_but_not_a_client_that_answers_pings(
    api: ApiFixture,
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    answering_client = await bert.connect()
    client = await connect_raw(host)
    bye = await read_bye(client)
    assert bye["code"] == 4003
    assert bye["reconnect"] is True
    for _ in range(2):  # later rounds of heartbeats keep this client
        while (frame := await answering_client.frame())["type"] != "heartbeat":
            assert frame["type"] != "bye"
    await client.close()


async def read_bye(client: RawWebSocket) -> dict[str, Any]:
    while received := await client.next():
        frame = json.loads(received[1]) if received[0] == TEXT else {"type": ""}
        if frame["type"] == "bye":
            bye: dict[str, Any] = frame
            return bye
    raise AssertionError("no bye frame")


@pytest.mark.gen_test(timeout=20)
async def test_audience_counts_follow_users_entering_applying_and_leaving(api: ApiFixture) -> None:
    host = await api.host()
    socket = await host.connect()
    assert (await socket.frame())["data"]["num_list"] == [0, 0, 0, 0]
    alone = {"audience_count": 1, "num_list": [0, 0, 0, 0]}
    anna = await api.guest("anna", 2, host.live_id)
    # Entering may have taken longer than the interval of the counts.
    if (counts := await socket.audience()) == alone:
        counts = await socket.audience()
    assert counts == {"audience_count": 2, "num_list": [0, 0, 0, 1]}
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    assert await socket.audience() == {"audience_count": 2, "num_list": [0, 0, 1, 1]}
    for _ in range(2):
        (await anna.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    assert await socket.audience() == alone


@pytest.mark.gen_test(timeout=20)
async def test_audience_counts_are_never_negative(api: ApiFixture) -> None:
    host = await api.host()
    socket = await host.connect()
    await socket.next("snapshot")  # its counts would include users who entered before it
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    for _ in range(8):
        for client in (anna, bert):
            (await client.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
            (await client.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
            (await client.get("get_playurl/", live_id=host.live_id)).ok()
    (await bert.get("qlive_user/logout/")).ok()
    messages = []
    while not messages or '"num_list":[0,0,0,1]' not in messages[-1]:
        messages.append(await socket.connection.recv())
    audiences = [message for message in messages if '"audience"' in message]
    assert audiences
    assert not [message for message in audiences if re.search(r"-\d", message)]
