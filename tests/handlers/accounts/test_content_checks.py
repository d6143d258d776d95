"""Others see no name and no picture that is still being checked, over any way out."""

import asyncio
import json
from typing import Any

import pytest

from rooms.moderation import Verdict
from runtime.process import ServerProcess
from tests.handlers.accounts.test_uploads import upload
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.chat import until_delivered
from tests.support.gifts import give
from tests.support.mic import take_seat
from tests.support.moderation import HIDDEN, SHOWN, ModerationFixture
from tests.support.server import job_of
from tests.support.waiting import WAIT_SECONDS, until

UPDATE, INFO = "qlive_user/update_userinfo/", "qlive_user/get_userinfo/"
ROUNDS = 4


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"moderation": HIDDEN}


async def test_a_new_user_has_a_name_once_it_is_checked(
    http_api: ApiFixture, moderation: ModerationFixture
) -> None:
    for name, shown in (("Anna", "Anna"), ("review Anna", ""), ("risky", ""), ("-1", "")):
        user = await http_api.user(name, 2)
        info = (await user.get(INFO)).ok()
        assert info["nickname"] == shown
        waits = name in ("review Anna", "-1")
        assert info["in_review"] == ({"nickname": name} if waits else {})


@pytest.mark.parametrize("changes", [{"moderation": {**HIDDEN, "risk_rank_high": 4}}])
async def test_a_registration_asks_for_rank_and_name_at_the_same_time(
    http_api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take two seconds, which is also the most for a request."""
    client = server.context.tencent.content_security
    both = asyncio.Barrier(2)

    async def rank(*_args: str) -> int:
        await asyncio.wait_for(both.wait(), WAIT_SECONDS)
        return 3

    async def check_text(*_args: str) -> Verdict:
        await asyncio.wait_for(both.wait(), WAIT_SECONDS)
        return Verdict("pass")

    monkeypatch.setattr(client, "risk_rank", rank)
    monkeypatch.setattr(client, "check_text", check_text)
    anna = await http_api.user("anna", 2)
    user = await server.context.stores.users.get(anna.id)
    assert (user.nickname, user.risk_rank) == ("anna", 3)


async def test_an_owner_sees_what_is_in_review_and_why_a_name_is_refused(
    api: ApiFixture, moderation: ModerationFixture
) -> None:
    host, bert = await api.host(), await api.user("bert", 1)
    refused = await host.post(UPDATE, nickname="risky", area="110000")
    assert refused.refusal == (400, "content_refused")
    assert refused.json["fields"].keys() == {"nickname"}
    renamed = await host.post("qlive_room/update_room/", live_id=host.live_id, room_name="risky")
    assert renamed.refusal == (400, "content_refused")
    face = await upload(host)
    info = (await host.post(UPDATE, nickname="review", face_url=face, area="110000")).ok()
    assert (info["nickname"], info["face_url"], info["area"]) == (host.name, "", "110000")
    (await host.post("qlive_room/update_room/", live_id=host.live_id, room_name="review room")).ok()
    in_review = (await host.get(INFO)).ok()["in_review"]
    assert in_review == {**info["in_review"], "room_name": "review room"}
    assert in_review.keys() == {"nickname", "face_url", "room_name"}
    assert (await bert.get(INFO, user_id=host.id)).ok()["in_review"] is None
    await moderation.step()
    info = (await host.get(INFO)).ok()
    assert info["face_url"] == in_review["face_url"]
    assert info["in_review"].keys() == {"nickname", "room_name"}


async def test_a_checked_picture_has_to_be_an_upload(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna, elsewhere = await api.user("anna", 2), "https://example.com/a.png"
    refused = await anna.post(UPDATE, face_url=elsewhere)
    assert refused.refusal == (400, "bad_parameter")
    assert "upload this picture" in refused.json["fields"]["face_url"]
    await server.context.stores.users.update(anna.id, face_url=elsewhere)
    assert (await anna.post(UPDATE, face_url=elsewhere)).ok()["face_url"] == elsewhere  # unchanged


@pytest.mark.parametrize("has_bucket", [False])
async def test_without_a_bucket_a_picture_may_be_anywhere(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    (await anna.post(UPDATE, face_url="https://example.com/a.png")).ok()


@pytest.mark.parametrize("paused_jobs", [("moderation", "cos_outbox")])
@pytest.mark.parametrize("changes", [{"moderation": HIDDEN}, {"moderation": SHOWN}])
async def test_a_refused_picture_is_deleted_at_once_and_uploaded_again_if_that_is_undone(
    api: ApiFixture, server: ServerProcess, moderation: ModerationFixture
) -> None:
    anna = await api.user("anna", 2)
    key_of_upload = await upload(anna)
    (await anna.post(UPDATE, face_url=key_of_upload)).ok()
    [proposed] = (await moderation.items.open_of(anna.id)).values()
    _, _, key = proposed.value.partition("/cos/")
    assert await server.context.tencent.cos.head(key)
    await moderation.service.decide(proposed.id, proposed.state, "olga", approved=False)
    await job_of(server, "cos_outbox").sweep()
    assert await server.context.tencent.cos.head(key) is None
    again = await anna.post(UPDATE, face_url=key_of_upload)  # its form is valid for ten minutes
    assert again.refusal == (400, "content_refused")
    assert await server.context.tencent.cos.head(key) is None

    await moderation.service.decide(proposed.id, "refused", "pavel", approved=True)
    assert (await anna.get(INFO)).ok()["face_url"] == ""
    (await anna.post(UPDATE, face_url=await upload(anna))).ok()
    await moderation.step()
    face = (await anna.get(INFO)).ok()["face_url"]
    assert face not in ("", proposed.value)
    assert await server.context.tencent.cos.head(face.partition("/cos/")[2])


async def seen_by(
    viewer: ApiClient, people: list[ApiClient], live_id: int, server: ServerProcess
) -> str:
    """All that another user and Tencent IM see of a room and its people, as text."""
    assert server.simulator
    room = {"live_id": live_id}
    calls: list[tuple[str, dict[str, Any]]] = [
        *(("get_livelist/", {}), ("get_playurl/", room)),
        *(("qlive_room/rank/", room), ("qlive_room/day_rank/", {})),
        *((INFO, {"user_id": person.id}) for person in people),
        *(("qlive_user/get_users_info/", {**room, "gender": gender}) for gender in (1, 2)),
    ]
    seen = [(await viewer.get(path, **params)).json for path, params in calls]
    seen += [server.simulator.im.accounts, await (await viewer.connect(live_id)).frame()]
    return json.dumps(seen, ensure_ascii=False)


async def propose(person: ApiClient, number: int, live_id: int) -> set[str]:
    """Propose a name and a face, and those of the room; return what is in review."""
    name = f"unchecked {person.name} {number}"
    info = (await person.post(UPDATE, nickname=name, face_url=await upload(person))).ok()
    if not live_id:
        return {*info["in_review"].values()}
    room = {"live_id": live_id, "room_name": f"unchecked room {number}"}
    cover = await upload(person, "cover")
    (await person.post("qlive_room/update_room/", **room, room_image=cover)).ok()
    return {*(await person.get(INFO)).ok()["in_review"].values()}


async def approve_all(moderation: ModerationFixture, people: list[ApiClient]) -> list[str]:
    approved = []
    for person in people:
        for item in (await moderation.items.open_of(person.id)).values():
            await moderation.service.decide(item.id, item.state, "olga", approved=True)
            approved.append(item.value)
    return approved


async def test_nothing_unchecked_is_visible_to_others_in_a_storm(
    api: ApiFixture, server: ServerProcess, moderation: ModerationFixture
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=1000)
    carl, viewer = [await api.guest(name, 1, host.live_id) for name in ("carl", "bert")]
    await take_seat(anna)
    (await anna.post(UPDATE, show_in_ranking=True)).ok()
    (await give(anna, host.id)).ok()
    assert anna.id in (await viewer.get("qlive_room/rank/", live_id=host.live_id)).text
    people, hidden, texts = [host, anna, carl], set[str](), list[str]()

    async def look() -> str:
        texts.append(await seen_by(viewer, people, host.live_id, server))
        return texts[-1]

    async def watch(socket: Socket) -> None:
        while True:
            texts.append(json.dumps(await socket.frame(), ensure_ascii=False))

    dora = await api.guest("dora", 2, host.live_id)
    watching = asyncio.create_task(watch(await dora.connect()))
    (await api.request("POST", "/sim/content/next", json={"words": "review"})).ok()
    for number in range(ROUNDS):
        _, *proposed = await asyncio.gather(
            look(),
            propose(host, number, host.live_id),
            *(propose(person, number, 0) for person in (anna, carl)),
        )
        hidden.update(*proposed)
        await asyncio.gather(moderation.step(), look())
    await until_delivered(server)
    await look()
    assert len(hidden) == ROUNDS * (2 * len(people) + 2)
    assert [value for value in hidden if any(value in text for text in texts)] == []

    # What is approved is shown: the rest would have been seen.
    approved = await approve_all(moderation, people)

    async def shows_all() -> bool:
        text = await look()
        accounts = json.dumps(server.simulator.im.accounts, ensure_ascii=False)  # type: ignore[union-attr]
        names = [value for value in approved if "room" not in value and "cover" not in value]
        return all(value in text for value in approved) and all(name in accounts for name in names)

    await until(shows_all)
    watching.cancel()
    assert "unchecked room" in texts[-1]
    for word in ("profile", "room_info"):
        assert any(f'"type": "{word}"' in text for text in texts)
