"""Others see no name and no picture that is still being checked, over any way out."""

import asyncio
import json
from typing import Any

import pytest

from rooms.moderation import Verdict
from runtime.process import ServerProcess
from tests.handlers.accounts.test_uploads import upload
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import until_delivered
from tests.support.gifts import give
from tests.support.mic import take_seat
from tests.support.moderation import HIDDEN, SHOWN, ModerationFixture
from tests.support.server import job_of
from tests.support.waiting import until

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
        await asyncio.wait_for(both.wait(), 1)
        return 3

    async def check_text(*_args: str) -> Verdict:
        await asyncio.wait_for(both.wait(), 1)
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
    again = await anna.post(UPDATE, face_url=key_of_upload)  # its ticket is valid for ten minutes
    assert again.refusal == (400, "content_refused")
    assert await server.context.tencent.cos.head(key) is None

    await moderation.service.decide(proposed.id, "refused", "pavel", approved=True)
    assert (await anna.get(INFO)).ok()["face_url"] == ""
    (await anna.post(UPDATE, face_url=await upload(anna))).ok()
    await moderation.step()
    face = (await anna.get(INFO)).ok()["face_url"]
    assert face not in ("", proposed.value)
    assert await server.context.tencent.cos.head(face.partition("/cos/")[2])


class Views:
    """All that other users and Tencent IM see of a room and its people, as text."""

    def __init__(self, api: ApiFixture, server: ServerProcess, live_id: int) -> None:
        self.text = ""
        self._api = api
        self.simulator = server.simulator
        self._live_id = live_id

    async def look(self, viewer: ApiClient, people: list[ApiClient]) -> str:
        live_id = self._live_id
        seen = [
            (await viewer.get("get_livelist/")).json,
            (await viewer.get("get_playurl/", live_id=live_id)).json,
            (await viewer.get("qlive_room/rank/", live_id=live_id)).json,
            (await viewer.get("qlive_room/day_rank/")).json,
            *[(await viewer.get(INFO, user_id=person.id)).json for person in people],
            *[
                (
                    await viewer.get(
                        "qlive_user/get_users_info/", live_id=live_id, gender=gender, page=1
                    )
                ).json
                for gender in (1, 2)
            ],
            self.simulator.im.accounts,  # type: ignore[union-attr]
            (await (await viewer.connect(live_id)).frame()),
        ]
        text = json.dumps(seen, ensure_ascii=False)
        self.text += text
        return text

    async def watch(self, viewer: ApiClient) -> None:
        """Note every frame of a socket, until cancelled."""
        socket = await viewer.connect(self._live_id)
        while True:
            self.text += json.dumps(await socket.frame(), ensure_ascii=False)


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
    people, views = [host, anna, carl], Views(api, server, host.live_id)
    watching = asyncio.create_task(views.watch(await api.guest("dora", 2, host.live_id)))
    (await api.request("POST", "/sim/content/next", json={"words": "review"})).ok()
    hidden = set[str]()

    async def propose(person: ApiClient, number: int) -> None:
        name = f"unchecked {person.name} {number}"
        info = (await person.post(UPDATE, nickname=name, face_url=await upload(person))).ok()
        hidden.update(info["in_review"].values())
        if person is host:
            room = {"live_id": host.live_id, "room_name": f"unchecked room {number}"}
            cover = await upload(host, "cover")
            (await host.post("qlive_room/update_room/", **room, room_image=cover)).ok()
            hidden.update((await host.get(INFO)).ok()["in_review"].values())

    for number in range(ROUNDS):
        await asyncio.gather(
            *(propose(person, number) for person in people), views.look(viewer, people)
        )
        await asyncio.gather(moderation.step(), views.look(viewer, people))
    await until_delivered(server)
    await views.look(viewer, people)
    assert len(hidden) == ROUNDS * (2 * len(people) + 2)
    assert [value for value in hidden if value in views.text] == []

    # The views show what is approved: they would have shown the rest.
    last = [item for person in people for item in await decide_all(moderation, person)]
    text = await until(lambda: shows_all(views, viewer, people, last))
    assert "unchecked room" in text
    watching.cancel()
    for word in ("profile", "room_info"):
        assert f'"type": "{word}"' in views.text


async def decide_all(moderation: ModerationFixture, person: ApiClient) -> list[str]:
    items = (await moderation.items.open_of(person.id)).values()
    for item in items:
        await moderation.service.decide(item.id, item.state, "olga", approved=True)
    return [item.value for item in items]


async def shows_all(
    views: Views, viewer: ApiClient, people: list[ApiClient], values: list[str]
) -> str:
    text = await views.look(viewer, people)
    accounts = json.dumps(views.simulator.im.accounts, ensure_ascii=False)  # type: ignore[union-attr]
    names = [value for value in values if "room" not in value and "cover" not in value]
    is_shown = all(value in text for value in values) and all(name in accounts for name in names)
    return text if is_shown else ""
