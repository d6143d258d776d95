"""Pictures that phones upload to the simulated COS: faces and covers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.pictures import jpeg, png
from tests.support.races import run_after
from tests.support.server import job_of

UPDATE, INFO = "qlive_user/update_userinfo/", "qlive_user/get_userinfo/"
FORM = "qlive_user/upload_ticket/"
PICTURE = jpeg()
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("cos_outbox",)


async def send_form(form: Any, content: bytes = PICTURE, **fields: str) -> int:
    """Post a file as a phone does; `fields` replaces fields of the form. Returns the status."""
    data = aiohttp.FormData({**form["fields"], **fields})
    data.add_field("file", content, filename="tmp_1.jpg")
    async with aiohttp.ClientSession() as phone, phone.post(form["url"], data=data) as answer:
        return answer.status


async def form_for(
    user: ApiClient, kind: str = "face", size: int = len(PICTURE), type_: str = "jpeg"
) -> Any:
    return (await user.post(FORM, kind=kind, type=f"image/{type_}", size=size)).ok()


async def upload(
    user: ApiClient, kind: str = "face", content: bytes = PICTURE, type_: str = "jpeg"
) -> str:
    """Upload a picture; returns its key."""
    form = await form_for(user, kind, len(content), type_)
    assert await send_form(form, content) == 200
    key: str = form["key"]
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

    await job_of(server, "cos_outbox").sweep()
    assert await server.context.tencent.cos.head(key) is None
    assert (await anna.post(UPDATE, face_url=key)).ok()["face_url"] == face  # sent again


async def test_a_cover_is_uploaded_for_the_room_of_its_host(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    key = await upload(host, "cover")
    changed = {"live_id": host.live_id, "room_name": " 老乡会 ", "room_image": key}
    (await host.post("qlive_room/update_room/", **changed)).ok()
    (row,) = (await host.get("get_livelist/")).ok()
    assert row["room_name"] == "老乡会"
    assert (await read(row["room_image"]))[0] == PICTURE
    guest = await api.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    await server.context.services.accounts.pictures.delete(
        {"key": row["room_image"].partition("/cos/")[2], "replaced": True}
    )
    assert (await read(row["room_image"]))[0] == PICTURE  # it is shown
    snapshot = (await socket.next("snapshot"))["data"]
    assert (snapshot["room_name"], snapshot["room_image"]) == ("老乡会", row["room_image"])
    (await host.post("qlive_room/update_room/", live_id=host.live_id, room_image=None)).ok()
    info = (await socket.next("room_info"))["data"]
    assert info == {"room_name": "老乡会", "room_image": ""}
    refused = await guest.post("qlive_room/update_room/", live_id=host.live_id, room_name="x")
    assert refused.refusal == (403, "not_host")


async def test_another_upload_with_the_same_form_does_not_change_what_is_shown(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    form = await form_for(anna)
    assert await send_form(form) == 200
    face = (await anna.post(UPDATE, face_url=form["key"])).ok()["face_url"]
    assert await send_form(form, jpeg(48, 64)) == 200
    assert (await anna.post(UPDATE, face_url=form["key"])).ok()["face_url"] == face
    assert (await read(face))[0] == PICTURE


async def test_an_upload_that_changes_while_it_is_looked_at_is_not_shown(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    form = await form_for(anna)
    assert await send_form(form) == 200
    changed = jpeg(48, 64)
    run_after(server.context.tencent.cos, "head", lambda: send_form(form, changed))
    assert (await anna.post(UPDATE, face_url=form["key"])).refusal == (409, "upload_missing")
    face = (await anna.post(UPDATE, face_url=form["key"])).ok()["face_url"]
    assert (await read(face))[0] == changed


async def test_forms_are_for_still_pictures_of_at_most_5_mb(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    form = {"kind": "face", "type": "image/png", "size": 5 * 1024 * 1024}
    assert (await anna.post(FORM, **form)).ok()["key"].endswith(".png")
    for name, value in (("kind", "film"), ("type", "image/svg+xml"), ("size", 5 * 1024 * 1024 + 1)):
        assert (await anna.post(FORM, **{**form, name: value})).refusal[0] == 400
    of_another_type, animated = await upload(anna), png(1, 1, b"acTL", b"IDAT")
    assert server.simulator
    server.simulator.cos.store(of_another_type, b"<script>", {"Content-Type": "text/html"})
    for key in (of_another_type, await upload(anna, "face", animated, "png")):
        assert (await anna.post(UPDATE, face_url=key)).refusal == (409, "upload_refused")


async def test_a_face_is_not_changed_while_cos_is_away(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    key, before = await upload(anna), (await anna.get(INFO)).ok()["face_url"]
    await api.outage("cos", status=500)
    assert (await anna.post(UPDATE, face_url=key, height=170)).refusal == (503, "cos_away")
    await api.outage("cos", status=403)
    assert (await anna.post(UPDATE, face_url=key, height=170)).refusal == (503, "cos_away")
    await api.outage("cos")
    shown = (await anna.get(INFO)).ok()
    assert (shown["face_url"], shown["height"]) == (before, 0)
    assert (await anna.post(UPDATE, face_url=key, height=170)).ok()["height"] == 170


async def test_an_upload_is_kept_if_its_copy_fails_after_status_200(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COS answers 200 before it copies, and reports a later error in the body."""
    anna = await api.user("anna", 2)
    key = await upload(anna)
    assert server.simulator
    answer = server.simulator.answer

    async def fail_to_copy(request: SimulatorRequest) -> SimulatorReply:
        if request.method != "PUT":
            return await answer(request)
        return SimulatorReply(200, {}, b"<Error><Code>InternalError</Code></Error>")

    with monkeypatch.context() as patch:
        patch.setattr(server.simulator, "answer", fail_to_copy)
        assert (await anna.post(UPDATE, face_url=key)).refusal == (503, "cos_away")
    await job_of(server, "cos_outbox").sweep()
    face = (await anna.post(UPDATE, face_url=key)).ok()["face_url"]
    assert (await read(face))[0] == PICTURE


@pytest.mark.parametrize("has_bucket", [False])
async def test_nothing_is_uploaded_without_a_bucket(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    key = f"uploads/face/{anna.id}/0123456789abcdef0123456789abcdef.jpg"
    form = {"kind": "face", "type": "image/jpeg", "size": 1}
    assert (await anna.post(FORM, **form)).refusal == (409, "uploads_off")
    assert (await anna.post(UPDATE, face_url=key)).refusal == (409, "uploads_off")


FOREIGN_PICTURES = [
    "https://evil.cn/face.jpg",
    "https://faces.qlive.cn@evil.cn/face.jpg",
    "https://evil.cn/https://faces.qlive.cn/face.jpg",
    "https://faces.qlive.cn.evil.cn/face.jpg",
    "https://evil.cn\\@faces.qlive.cn/face.jpg",
    "https://[faces.qlive.cn/face.jpg",
    "uploads/face/../../pictures/face/1.jpg",
    "uploads/face/10000001/0123456789abcdef0123456789abcdef.svg",
]


@pytest.mark.parametrize("changes", [{"uploads": {"allowed_hosts": ["faces.qlive.cn"]}}])
async def test_only_pictures_of_allowed_hosts_are_shown(api: ApiFixture) -> None:
    """The picture that a user shows may be sent again, as forms do that send all their fields."""
    anna = await api.user("anna", 2)
    before = (await anna.get(INFO)).ok()["face_url"]
    for named in FOREIGN_PICTURES:
        assert (await anna.post(UPDATE, face_url=named)).refusal == (400, "bad_parameter"), named
    for allowed in (before, "https://faces.qlive.cn/face.jpg"):
        assert (await anna.post(UPDATE, face_url=allowed)).ok()["face_url"] == allowed


async def test_only_ones_own_uploads_of_the_kind_are_shown(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    face = (await anna.post(UPDATE, face_url=await upload(anna))).ok()["face_url"]
    for named in (await upload(anna), await upload(bert, "cover"), face):
        reply = await bert.post(UPDATE, face_url=named)
        assert reply.refusal == (400, "bad_parameter"), named
        assert reply.json["fields"].keys() == {"face_url"}


async def test_unused_uploads_are_deleted_after_a_day_and_replaced_pictures_after_a_month(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    unused = await upload(anna)
    faces = [(await anna.post(UPDATE, face_url=await upload(anna))).ok()["face_url"] for _ in "ab"]
    later = {"state": "later", "due_at": {"$gt": datetime.now(UTC) + timedelta(hours=1)}}

    def waiting() -> dict[str, int]:
        """Days until each object is looked at."""
        rows = [(row["payload"]["key"], row["due_at"]) for row in db.outbox.find(later)]
        return {key: round((due - datetime.now(UTC)) / timedelta(days=1)) for key, due in rows}

    async def handle() -> None:
        db.outbox.update_many(later, {"$set": {"due_at": datetime.now(UTC)}})
        await job_of(server, "cos_outbox").sweep()

    first, second = waiting().keys() - {key for key in waiting() if key.startswith("uploads/")}
    assert (waiting()[unused], waiting()[first], waiting()[second]) == (1, 30, 30)
    await handle()
    assert waiting() == {first: 30, second: 30}
    assert await server.context.tencent.cos.head(unused) is None
    assert [(await read(face))[0] for face in faces] == [PICTURE, PICTURE]
    await handle()
    assert [*waiting().values()] == [30]
    assert [(await read(face))[0] for face in faces] == [b"", PICTURE]
