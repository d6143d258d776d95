"""The parts of an invitation, with the simulated WeChat and COS, on a real MongoDB."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.sections import ModerationSettings, UploadsSettings
from config.settings import Settings
from core.clock import day_interval, day_of
from devtools.simulator.requests import OutageRequest
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorRequest
from services.accounts.pictures import PictureService
from services.rooms import invitation_parts
from services.rooms.invitation_parts import InvitationParts
from storage.accounts.users import User
from tencent.cos import CosClient
from tencent.invitations import PNG, InvitationClient
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache
from tests.support.storage import StoresFixture
from tests.support.tencent import Serve, pay_settings

APP, SECRET, PAGE, TICKET = "wx1", "s3cret", "pages/room/room", "K7" * 16
UPLOADS = {"bucket": "qlive-test-1250000000", "secret_id": "AKID", "secret_key": "key"}


@dataclass
class PartsFixture:
    parts: InvitationParts
    client: InvitationClient
    simulator: Simulator
    cos: CosClient
    uploads: UploadsSettings

    async def outage(self, service: str, status: int | None = 503) -> None:
        request = OutageRequest.model_validate({"service": service, "status": status})
        body = request.model_dump_json().encode()
        await self.simulator.answer(SimulatorRequest("POST", "/outage", body=body))


@pytest.fixture
def fixture(
    serve: Serve,
    make_service_client: Callable[..., ServiceClient],
    stores: StoresFixture,
    merchant: dict[str, Any],
    tmp_path: Path,
) -> PartsFixture:
    settings = Settings.model_validate(
        {
            "pay": pay_settings(merchant),
            "wechat": {"apps": {APP: {"secret": SECRET}}},
            "uploads": UPLOADS,
            "mongodb": {"data_dir": str(tmp_path / "mongo")},
        }
    )
    key = merchant["platform"]["private_key_pem"]
    simulator = Simulator(settings, key, "http://127.0.0.1:9")
    url = serve(simulator.answer)
    uploads = settings.uploads.model_copy(update={"api_base": f"{url}/cos"})
    wechat = make_service_client("wechat", url)
    cos = CosClient(make_service_client("cos", uploads.endpoint), uploads)
    client = InvitationClient(wechat, AccessTokenCache(wechat, {APP: SECRET}))
    parts = InvitationParts(client, cos, stores, uploads, PAGE)
    return PartsFixture(parts, client, simulator, cos, uploads)


def test_a_path_is_the_page_with_the_ticket(fixture: PartsFixture) -> None:
    assert fixture.parts.path(TICKET) == f"{PAGE}?t={TICKET}"


async def test_a_friend_gets_an_activity_of_the_inviter(fixture: PartsFixture) -> None:
    inviter = User("1", APP, "oAlice", datetime.now(UTC))
    assert await fixture.parts.friend(inviter)
    await fixture.outage("wechat")
    assert await fixture.parts.friend(inviter) == ""


async def test_all_tickets_of_a_day_share_one_link_that_outlives_them(
    fixture: PartsFixture, stores: StoresFixture
) -> None:
    fixture.simulator.invitations.links_left = 0
    assert await fixture.parts.link(APP, "K7") == ""
    fixture.simulator.invitations.links_left = 1
    before = datetime.now(UTC)
    first, second = [await fixture.parts.link(APP, ticket) for ticket in ("K7", "a&b=c")]
    link, _, query = first.partition("?")
    assert link.startswith("https://wxaurl.cn/")
    assert (query, second) == ("cq=t%3DK7", f"{link}?cq=t%3Da%26b%3Dc")
    [row] = await stores.rows("invitation_links").find().to_list()
    _, end = day_interval(day_of(before))
    assert row["expires_at"] >= end + timedelta(days=1)


async def test_a_code_is_made_once_for_a_ticket_and_deleted_after_it(
    fixture: PartsFixture, stores: StoresFixture
) -> None:
    addresses = {await fixture.parts.code(APP, TICKET) for _ in range(2)}
    key = fixture.parts.picture_key(TICKET)
    assert addresses == {f"{fixture.uploads.address}/{key}"}
    made = [entry for entry in fixture.simulator.log if "getwxacode" in entry["path"]]
    assert len(made) == 1
    found = await fixture.cos.head(key)
    assert found is not None
    assert (found.start[:8], found.content_type) == (PNG, "image/png")
    pictures = PictureService(fixture.cos, stores, fixture.uploads, ModerationSettings())
    await pictures.delete({"key": key})
    assert await fixture.cos.head(key) is None


async def test_there_is_no_code_while_wechat_or_cos_is_away_or_without_a_bucket(
    fixture: PartsFixture, stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in ("wechat", "cos"):
        await fixture.outage(service)
        assert await fixture.parts.code(APP, TICKET) == ""
        await fixture.outage(service, None)
    with monkeypatch.context() as patch:
        patch.setattr(invitation_parts, "CODE_SECONDS", 0)
        assert await fixture.parts.code(APP, TICKET) == ""
    without = InvitationParts(fixture.client, fixture.cos, stores, UploadsSettings(), PAGE)
    assert await without.code(APP, TICKET) == ""
    assert await fixture.parts.code(APP, TICKET)
