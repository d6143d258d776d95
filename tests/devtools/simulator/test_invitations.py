"""The simulated invitations, through the client of the server."""

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
from tencent.invitations import InvitationClient, NotGiven
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache, decrypt_activity_id
from tests.support.tencent import Clock

APP, PAGE, SCENE = "wxd678efh567hg6787", "pages/room/room", "K7" * 16


@pytest.fixture
def client(sim_url: str, make_service_client: Callable[..., ServiceClient]) -> InvitationClient:
    api = make_service_client("wechat", sim_url)
    return InvitationClient(api, AccessTokenCache(api, {APP: "s3cret"}))


async def control(simulator: Simulator, path: str, **params: Any) -> Any:
    body = json.dumps(params).encode()
    reply = await simulator.answer(SimulatorRequest("POST", path, body=body))
    return json.loads(reply.body)


async def open_message(simulator: Simulator, activity_id: str, sender: str = "") -> Any:
    params = {"name": "bert", "activity_id": activity_id, "sender": sender}
    return await control(simulator, "/phone/private_message", **params)


async def test_a_private_message_is_opened_with_the_present_session_key(
    simulator: Simulator, client: InvitationClient
) -> None:
    activity_id = await client.activity_id(APP, openid_of("alice"))
    assert "logged in" in (await open_message(simulator, activity_id))["detail"]
    for _ in range(2):
        login = simulator.wechat.issue(APP, "bert")
        answer = await open_message(simulator, activity_id)
        data, iv = answer["encryptedData"], answer["iv"]
        assert decrypt_activity_id(login.session_key, data, iv, APP) == activity_id


async def test_an_activity_belongs_to_its_sender_for_a_day(
    simulator: Simulator, client: InvitationClient, clock: Clock
) -> None:
    simulator.wechat.issue(APP, "bert")
    activity_id = await client.activity_id(APP, openid_of("alice"))
    assert (await open_message(simulator, activity_id, "alice"))["valid"]
    invalid = {"valid": False, "encryptedData": "", "iv": ""}
    assert await open_message(simulator, activity_id, "carl") == invalid
    assert await open_message(simulator, "guessed") == invalid
    clock.now += 24 * 3600
    assert await open_message(simulator, activity_id) == invalid


async def test_links_lead_to_a_published_page_in_time_and_within_the_quota(
    simulator: Simulator, client: InvitationClient, clock: Clock
) -> None:
    simulator.invitations.links_left = 2
    now = datetime.fromtimestamp(clock.now, UTC)
    tomorrow = now + timedelta(days=1)
    assert len({await client.url_link(APP, PAGE, tomorrow) for _ in range(2)}) == 2
    for page, until, errcode in (
        (PAGE, tomorrow, "45009"),
        ("pages/room/other", tomorrow, "40165"),
        (PAGE, now, "85401"),
    ):
        with pytest.raises(NotGiven, match=errcode):
            await client.url_link(APP, page, until)


async def test_a_code_shows_its_scene(client: InvitationClient) -> None:
    expected = io.BytesIO()
    segno.make(f"{PAGE}?scene={SCENE}", error="m").save(expected, kind="png", scale=10)
    assert await client.code(APP, PAGE, SCENE) == expected.getvalue()
    for page, scene, errcode in (
        ("pages/room/other", SCENE, "41030"),
        (PAGE, SCENE + "x", "40169"),
        (PAGE, "a%20b", "40129"),
    ):
        with pytest.raises(NotGiven, match=errcode):
            await client.code(APP, page, scene)


async def test_outages_and_old_tokens_concern_invitations_too(
    simulator: Simulator, client: InvitationClient
) -> None:
    await control(simulator, "/outage", service="wechat", status=503)
    with pytest.raises(NotGiven):
        await client.activity_id(APP, "oAlice")
    await control(simulator, "/outage", service="wechat")
    assert await client.activity_id(APP, "oAlice")
    simulator.wechat.tokens.clear()
    assert await client.activity_id(APP, "oAlice")
    assert [entry["outcome"] for entry in simulator.log][-3:] == ["40001", "ok", "ok"]
