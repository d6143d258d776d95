"""Pictures that phones upload to the simulated COS: faces and covers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from runtime.process import ServerProcess
from services.accounts.pictures import REPLACED_KEPT
from tests.support.api import ApiClient, ApiFixture
from tests.support.waiting import until

TICKET, UPDATE, INFO = (
    "qlive_user/upload_ticket/",
    "qlive_user/update_userinfo/",
    "qlive_user/get_userinfo/",
)
PICTURE = b"\xff\xd8 a picture"
IMMUTABLE = "public, max-age=31536000, immutable"


async def upload(
    user: ApiClient, kind: str = "face", content: bytes = PICTURE, **fields: str
) -> str:
    """Upload a picture as a phone does; `fields` replaces fields of the form. Returns its key."""
    ticket = (await user.post(TICKET, kind=kind, type="image/jpeg", size=len(content))).ok()
    form = aiohttp.FormData({**ticket["fields"], **fields})
    form.add_field("file", content, filename="tmp_1.jpg")
    async with aiohttp.ClientSession() as phone, phone.post(ticket["url"], data=form) as answer:
        assert answer.status == (403 if fields else 200), await answer.text()
    key: str = ticket["key"]
    return key


async def read(address: str) -> tuple[bytes, Any]:
    async with aiohttp.ClientSession() as phone, phone.get(address) as answer:
        return (await answer.read() if answer.status == 200 else b""), answer.headers


async def test_an_uploaded_face_is_shown_at_an_address_that_never_changes(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    key = await upload(anna)
    face = (await anna.post(UPDATE, face_url=key)).ok()["face_url"]
    content, headers = await read(face)
    assert content == PICTURE
    assert (headers["Cache-Control"], headers["Content-Type"]) == (IMMUTABLE, "image/jpeg")
    assert (await bert.get(INFO, user_id=anna.id)).ok()["face_url"] == face
    assert key not in face

    async def upload_is_gone() -> bool:
        return await server.context.tencent.cos.head(key) is None

    await until(upload_is_gone)
    assert (await anna.post(UPDATE, face_url=key)).ok()["face_url"] == face  # sent again


async def test_a_cover_is_uploaded_for_the_room_of_its_host(api: ApiFixture) -> None:
    host = await api.host()
    key = await upload(host, "cover")
    changed = {"live_id": host.live_id, "room_name": " 老乡会 ", "room_image": key}
    (await host.post("qlive_room/update_room/", **changed)).ok()
    (row,) = (await host.get("get_livelist/")).ok()
    assert row["room_name"] == "老乡会"
    assert (await read(row["room_image"]))[0] == PICTURE
    guest = await api.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    snapshot = (await socket.next("snapshot"))["data"]
    assert (snapshot["room_name"], snapshot["room_image"]) == ("老乡会", row["room_image"])
    (await host.post("qlive_room/update_room/", live_id=host.live_id, room_image=None)).ok()
    info = (await socket.next("room_info"))["data"]
    assert info == {"room_name": "老乡会", "room_image": ""}
    refused = await guest.post("qlive_room/update_room/", live_id=host.live_id, room_name="x")
    assert refused.refusal == (403, "not_host")


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "uploads/face/99999999/0123456789abcdef0123456789abcdef.jpg"},
        {"acl": "public-read"},
        {"Content-Type": "text/html"},
        {"success_action_status": "201"},
        {"q-signature": "0" * 40},
        {"q-key-time": "1;9999999999"},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_form_with_another_field_is_refused(
    api: ApiFixture, changed: dict[str, str]
) -> None:
    anna = await api.user("anna", 2)
    key = await upload(anna, **changed)
    assert (await anna.post(UPDATE, face_url=key)).refusal == (409, "upload_missing")


async def test_only_ones_own_uploads_of_the_kind_are_shown(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    face = (await anna.post(UPDATE, face_url=await upload(anna))).ok()["face_url"]
    for named in (await upload(anna), await upload(bert, "cover"), face):
        reply = await bert.post(UPDATE, face_url=named)
        assert reply.refusal == (400, "bad_parameter"), named
        assert reply.json["fields"].keys() == {"face_url"}


async def test_tickets_are_for_pictures_of_at_most_5_mb(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    ticket = {"kind": "face", "type": "image/png", "size": 5 * 1024 * 1024}
    assert (await anna.post(TICKET, **ticket)).ok()["key"].endswith(".png")
    for name, value in (("kind", "film"), ("type", "image/svg+xml"), ("size", 5 * 1024 * 1024 + 1)):
        assert (await anna.post(TICKET, **{**ticket, name: value})).refusal[0] == 400


async def test_objects_are_deleted_a_day_after_an_unused_ticket_and_a_month_after_a_picture(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    unused = await upload(anna)
    first = (await anna.post(UPDATE, face_url=await upload(anna))).ok()["face_url"]
    second = (await anna.post(UPDATE, face_url=await upload(anna))).ok()["face_url"]
    due = {row["payload"]["key"]: row["due_at"] for row in db.outbox.find({"state": "later"})}
    day, month = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) + REPLACED_KEPT
    assert abs(due[unused].replace(tzinfo=UTC) - day) < timedelta(minutes=10)
    (replaced,) = (key for key in due if key in first)
    assert abs(due[replaced].replace(tzinfo=UTC) - month) < timedelta(minutes=10)
    delete = server.context.services.pictures.delete
    await delete({"key": replaced})
    assert (await read(first))[0] == b""
    await delete({"key": second.partition("/cos/")[2]})  # it is shown
    assert (await read(second))[0] == PICTURE
