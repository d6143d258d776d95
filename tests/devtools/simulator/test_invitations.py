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


async def control(simulator: Simulator, path: str, **params: Any) -> tuple[int, Any]:
    body = json.dumps(params).encode()
    reply = await simulator.answer(SimulatorRequest("POST", path, body=body))
    return reply.status, json.loads(reply.body)


async def open_message(simulator: Simulator, name: str, **params: str) -> Any:
    status, answer = await control(simulator, "/phone/private_message", name=name, **params)
    assert status == 200
    return answer


def tomorrow(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now, UTC) + timedelta(days=1)


async def test_a_private_message_is_opened_with_the_present_session_key(
    simulator: Simulator, client: InvitationClient
) -> None:
    activity_id = await client.activity_id(APP, openid_of("alice"))
    message = {"name": "bert", "activity_id": activity_id}
    assert (await control(simulator, "/phone/private_message", **message))[0] == 400
    for _ in range(2):
        login = simulator.wechat.issue(APP, "bert")
        answer = await open_message(simulator, **message)
        assert answer.pop("valid")
        data, iv = answer["encryptedData"], answer["iv"]
        assert decrypt_activity_id(login.session_key, data, iv, APP) == activity_id


async def test_an_activity_belongs_to_its_sender_for_a_day(
    simulator: Simulator, client: InvitationClient, clock: Clock
) -> None:
    simulator.wechat.issue(APP, "bert")
    activity_id = await client.activity_id(APP, openid_of("alice"))
    assert (await open_message(simulator, "bert", activity_id=activity_id, sender="alice"))["valid"]
    invalid = {"valid": False, "encryptedData": "", "iv": ""}
    for other in ({"activity_id": "guessed"}, {"activity_id": activity_id, "sender": "carl"}):
        assert await open_message(simulator, "bert", **other) == invalid
    clock.now += 24 * 3600
    assert await open_message(simulator, "bert", activity_id=activity_id) == invalid
    with pytest.raises(NotGiven, match="40003"):
        await client.activity_id(APP, "")


async def test_links_lead_to_a_published_page_in_time_and_within_the_quota(
    simulator: Simulator, client: InvitationClient, clock: Clock
) -> None:
    simulator.invitations.links_left = 2
    links = {await client.url_link(APP, PAGE, tomorrow(clock)) for _ in range(2)}
    assert len(links) == 2
    assert all(link.startswith("https://wxaurl.cn/") for link in links)
    with pytest.raises(NotGiven, match="45009"):
        await client.url_link(APP, PAGE, tomorrow(clock))
    with pytest.raises(NotGiven, match="40165"):
        await client.url_link(APP, "pages/room/other", tomorrow(clock))
    with pytest.raises(NotGiven, match="85401"):
        await client.url_link(APP, PAGE, tomorrow(clock) - timedelta(days=1))


async def test_a_code_shows_its_scene(client: InvitationClient) -> None:
    expected = io.BytesIO()
    segno.make(f"{PAGE}?scene={SCENE}", error="m").save(expected, kind="png", scale=10)
    assert await client.code(APP, PAGE, SCENE) == expected.getvalue()
    for page, scene, errcode in (
        ("pages/room/other", SCENE, "41030"),
        (PAGE, SCENE + "x", "40169"),
        (PAGE, "", "40169"),
        (PAGE, "a%20b", "40129"),
        (PAGE, "a&b", "40129"),
    ):
        with pytest.raises(NotGiven, match=errcode):
            await client.code(APP, page, scene)


async def test_an_outage_of_wechat_is_one_of_invitations(
    simulator: Simulator, client: InvitationClient, clock: Clock
) -> None:
    await control(simulator, "/outage", service="wechat", status=503)
    with pytest.raises(NotGiven):
        await client.url_link(APP, PAGE, tomorrow(clock))
    await control(simulator, "/outage", service="wechat")
    assert await client.url_link(APP, PAGE, tomorrow(clock))


async def test_an_unknown_token_is_refused_and_renewed(
    simulator: Simulator, client: InvitationClient
) -> None:
    await client.activity_id(APP, "oAlice")
    simulator.wechat.tokens.clear()
    assert await client.activity_id(APP, "oAlice")
    outcomes = [entry["outcome"] for entry in simulator.log]
    assert outcomes == ["ok", "ok", "40001", "ok", "ok"]
