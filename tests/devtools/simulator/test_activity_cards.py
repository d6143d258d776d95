"""The simulated activity cards, links and codes, through the client of the server."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import segno

from devtools.simulator.simulator import Simulator
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorRequest
from tencent.activity_cards import ActivityCardClient
from tencent.errors import ServiceUnavailable
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache, WechatApi, decrypt_open_data
from tests.support.tencent import Clock

APP, PAGE, SCENE = "wxd678efh567hg6787", "pages/room/room", "K7" * 16


@pytest.fixture
def client(sim_url: str, make_service_client: Callable[..., ServiceClient]) -> ActivityCardClient:
    api = make_service_client("wechat", sim_url)
    return ActivityCardClient(WechatApi(api, AccessTokenCache(api, {APP: "s3cret"})))


async def open_message(simulator: Simulator, activity_id: str) -> Any:
    body = json.dumps({"name": "bert", "activity_id": activity_id}).encode()
    request = SimulatorRequest("POST", "/phone/private_message", body=body)
    return json.loads((await simulator.answer(request)).body)


async def test_a_private_message_is_opened_for_a_day_with_the_present_session_key(
    simulator: Simulator, client: ActivityCardClient, clock: Clock
) -> None:
    activity_id = await client.activity_id(APP, openid_of("alice"))
    assert "logged in" in (await open_message(simulator, activity_id))["detail"]
    login = simulator.wechat.issue(APP, "bert")
    answer = await open_message(simulator, activity_id)
    data = decrypt_open_data(login.session_key, answer["encryptedData"], answer["iv"], APP)
    assert data["activityId"] == activity_id
    invalid = {"valid": False, "encryptedData": "", "iv": ""}
    assert await open_message(simulator, "guessed") == invalid
    clock.now += 24 * 3600
    assert await open_message(simulator, activity_id) == invalid
    with pytest.raises(ServiceUnavailable):
        await client.activity_id(APP, "")


async def test_links_lead_to_a_published_page_in_time_and_within_the_quota(
    simulator: Simulator, client: ActivityCardClient, clock: Clock
) -> None:
    simulator.activity_cards.links_left = 2
    now = datetime.fromtimestamp(clock.now, UTC)
    tomorrow = now + timedelta(days=1)
    for page, until in (("pages/room/other", tomorrow), (PAGE, now)):
        with pytest.raises(ServiceUnavailable):
            await client.url_link(APP, page, until)
    assert len({await client.url_link(APP, PAGE, tomorrow) for _ in range(2)}) == 2
    with pytest.raises(ServiceUnavailable):
        await client.url_link(APP, PAGE, tomorrow)


async def test_a_code_shows_its_scene(client: ActivityCardClient) -> None:
    expected = io.BytesIO()
    segno.make(f"{PAGE}?scene={SCENE}", error="m").save(expected, kind="png", scale=10)
    assert await client.code(APP, PAGE, SCENE) == expected.getvalue()
    for page, scene in (("pages/room/other", SCENE), (PAGE, SCENE + "x"), (PAGE, "a%20b")):
        with pytest.raises(ServiceUnavailable):
            await client.code(APP, page, scene)
