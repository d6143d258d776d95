"""Notices of lives, with the simulated WeChat: who gets one, and what becomes of agreements."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.ioloop import IOLoop

from devtools.simulator.requests import NextNoticesRequest, NoticeChoiceRequest
from devtools.simulator.wechat import openid_of
from people.notices import Consent
from runtime.process import ServerProcess
from services.accounts.notices import JOB_NAME
from tencent.notices import NoticeAnswer
from tests.support.api import ApiClient, ApiFixture
from tests.support.waiting import until

TEMPLATE = "T1"
NEUTRAL = "红娘开播了"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"notices": {"template_id": TEMPLATE, "per_second": 100, "neutral_title": NEUTRAL}}


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return (JOB_NAME,)


class NoticeFixture:
    """A server whose notices are sent by `send`."""

    def __init__(self, server: ServerProcess, api: ApiFixture, db: Any) -> None:
        self.context, self.api, self.db = server.context, api, db
        self.stores = server.context.stores
        self.service = server.context.services.accounts.notices
        self.simulator = server.simulator.notices
        self.pushes, self.delivery = server.simulator.pushes, server.simulator.delivery

    async def choose(self, name: str, **choice: Any) -> int:
        """Answer on the phone of a user; returns the agreements that are left here."""
        choice = {"template_id": TEMPLATE, **choice}
        self.simulator.choose(NoticeChoiceRequest(name=name, **choice))
        await self.delivery.quiet()
        user = self.db.users.find_one({"openid": openid_of(name)})
        return self.left(user["_id"])

    async def push(self, name: str, mode: str = "once", **content: Any) -> None:
        """Deliver an event of this content."""
        event = self.pushes.event(content.pop("event"), openid_of(name), content)
        self.delivery.start(self.pushes.report({**event, **content}, mode), "once")
        await self.delivery.quiet()

    async def follower(self, name: str, host: ApiClient, agreements: int = 1) -> ApiClient:
        user = await self.api.user(name, 1)
        await self.stores.follows.put(user.id, host.id)
        if agreements:
            self.simulator.consents[openid_of(name), TEMPLATE] = agreements
            self.give(user, agreements)
        return user

    def give(self, user: ApiClient, agreements: int) -> None:
        id_ = f"{user.id}:{TEMPLATE}"
        row = {"_id": id_, "user_id": user.id, "count": agreements, "version": 1}
        self.db.notice_consents.insert_one(row)

    def left(self, user_id: str) -> int:
        row = self.db.notice_consents.find_one({"_id": f"{user_id}:{TEMPLATE}"}) or {"count": 0}
        return int(row["count"])

    def next(self, **outcome: Any) -> None:
        self.simulator.set_next(NextNoticesRequest(**outcome))

    async def send(self) -> list[Mapping[str, Any]]:
        """Send what is due; returns the messages."""
        before = len(self.simulator.sent)
        await self.stores.job_leases.release(JOB_NAME, 0)  # if a pause is on
        await self.service.job.sweep()
        await self.delivery.quiet()
        return self.simulator.sent[before:]

    async def receivers(self) -> list[str]:
        """Send what is due; returns the openids of the receivers."""
        return [message["touser"] for message in await self.send()]

    def waiting(self) -> list[str]:
        """The hosts of lives with followers who are not notified."""
        return [row["host_id"] for row in self.db.live_notices.find()]


@pytest.fixture
def notices(server: ServerProcess, api: ApiFixture, db: Any) -> NoticeFixture:
    return NoticeFixture(server, api, db)


@pytest.fixture
def host(io_loop: IOLoop, api: ApiFixture, notices: NoticeFixture) -> ApiClient:
    """A host whose live has just begun."""
    client: ApiClient = io_loop.run_sync(lambda: api.host("红娘"))
    return client


async def test_a_follower_who_agreed_gets_one_message_that_opens_the_live(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 2)
    await notices.follower("bert", host, 0)
    notices.next(report="never")  # its event must not come before the answer is stored
    (message,) = await notices.send()
    assert message["touser"] == openid_of("anna")
    assert message["page"] == f"pages/room/room?live_id={host.live_id}"
    assert (message["template_id"], message["miniprogram_state"]) == (TEMPLATE, "developer")
    values = {name: row["value"] for name, row in message["data"].items()}
    assert [values["thing1"], values["thing2"]] == ["红娘", "红娘"]
    sent = {"TemplateId": TEMPLATE, "MsgID": "3000000000000000001", "ErrorCode": "0"}
    await notices.push("anna", event="subscribe_msg_sent_event", List=sent)
    (stored,) = notices.db.notice_consents.find()
    assert stored["hosts"][host.id]["outcome"] == "sent", "by its event"
    assert (notices.left(anna.id), notices.waiting()) == (1, [])
    assert (await notices.api.metrics())['qlive_notices_total{outcome="sent"}'] == 1

    (await host.post("qlive_room/matchmaker_enter/")).ok()  # resumed
    assert notices.waiting() == []
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert notices.waiting() == [host.id]
    assert await notices.receivers() == [], "at most one in six hours"


async def test_users_who_are_online_anywhere_get_none_unless_their_process_is_dead(
    notices: NoticeFixture, host: ApiClient
) -> None:
    alone, inside, gone, _ = [
        await notices.follower(name, host) for name in ("alone", "inside", "gone", "killed")
    ]
    await (await alone.user_channel()).next("snapshot")
    (await inside.get("get_playurl/", live_id=host.live_id)).ok()
    await inside.watch(host.live_id)
    socket = await gone.user_channel()
    await socket.next("snapshot")
    await socket.connection.close()
    channels = notices.db.user_channels
    await until(lambda: not channels.find_one({"_id": gone.id})["served"])
    killed = {"$set": {"served": [{"number": 1, "process": "dead"}], "sockets": [1]}}
    channels.update_one({"_id": (await notices.api.user("killed")).id}, killed)
    assert sorted(await notices.receivers()) == sorted([openid_of("gone"), openid_of("killed")])


async def test_banned_and_deleted_users_and_those_whom_the_room_bans_get_none(
    notices: NoticeFixture, host: ApiClient
) -> None:
    banned, deleted, unwanted = [
        await notices.follower(name, host) for name in ("banned", "deleted", "unwanted")
    ]
    await notices.stores.users.update(banned.id, banned=True)
    now = (await notices.stores.users.get(deleted.id)).create_time
    await notices.stores.users.update(deleted.id, deleted_at=now)
    forever = {"$set": {f"bans.{unwanted.id}": 2**50}}
    notices.db.rooms.update_one({"_id": host.live_id}, forever)
    assert await notices.receivers() == []
    assert [notices.left(user.id) for user in (banned, deleted, unwanted)] == [1, 1, 1]


async def test_the_latest_live_is_first_and_what_has_ended_or_become_private_is_dropped(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 2)
    later, ended, private = [await notices.api.host(name) for name in ("later", "end", "private")]
    await notices.stores.follows.put(anna.id, later.id)
    for other in (ended, private):
        await notices.follower(f"fan of {other.name}", other)
    (await ended.post("qlive_room/live_end/", live_id=ended.live_id)).ok()
    change = {"live_id": private.live_id, "visibility": "private"}
    (await private.post("qlive_room/update_room/", **change)).ok()
    messages = await notices.send()
    pages = [message["page"].partition("=")[2] for message in messages]
    assert pages == [str(later.live_id), str(host.live_id)]
    assert notices.waiting() == []
    (await ended.post("qlive_room/matchmaker_enter/", visibility="private")).ok()
    assert notices.waiting() == []


async def test_only_one_process_sends(notices: NoticeFixture, host: ApiClient) -> None:
    await notices.follower("anna", host)
    assert await notices.stores.job_leases.acquire(JOB_NAME, 60)
    await notices.service.job.sweep()
    assert notices.simulator.sent == []
    assert len(await notices.send()) == 1


# ---- what users choose


async def test_choices_on_the_phone_add_agreements_or_clear_them(
    notices: NoticeFixture, api: ApiFixture
) -> None:
    await api.user("anna", 2)
    assert await notices.choose("anna", report="twice") == 1
    for place, choice, left in (("change", "acceptWithAudio", 2), ("popup", "reject", 0)):
        assert await notices.choose("anna", place=place, choice=choice) == left
    assert await notices.choose("anna", template_id="another") == 0
    rows = [*notices.db.inbox.find()]
    kept = [row["expires_at"] - row["received_at"] for row in rows]
    assert len(kept) == 4
    assert max(kept) < timedelta(days=1, minutes=1)


async def test_choices_are_told_apart_by_user_event_time_and_template(
    notices: NoticeFixture, api: ApiFixture
) -> None:
    users = [await api.user(name, 2) for name in ("anna", "bert")]
    rows = [{"TemplateId": name, "SubscribeStatusString": "accept"} for name in (TEMPLATE, "T2")]
    event = {"event": "subscribe_msg_popup_event", "CreateTime": 1_700_000_000, "List": rows}
    for name in ("anna", "bert", "anna"):
        await notices.push(name, **event)
    assert [notices.left(user.id) for user in users] == [1, 1]
    await notices.push("anna", **{**event, "CreateTime": 1_700_000_001})
    await notices.push("anna", **{**event, "event": "subscribe_msg_change_event"})
    await notices.push("anna", **{**event, "List": rows[0]})
    assert notices.left(users[0].id) == 3, "the last is the first one again"
    assert notices.db.inbox.count_documents({"outcome": "done"}) == 5
    for change in ({"List": "x"}, {"List": [{}]}, {"CreateTime": None}):
        await notices.push("anna", **{**event, **change})
    await notices.push("anna", "forged", **event)
    await notices.push("nobody", **event)
    assert notices.delivery.statuses[-5:] == [403, 403, 403, 403, 200]
    assert notices.left(users[0].id) == 3


class TestPlainMode:
    @pytest.fixture
    def changes(self) -> dict[str, Any]:
        return {"notices": {"template_id": TEMPLATE}}

    async def test_an_event_that_is_not_encrypted_does_not_count(
        self, notices: NoticeFixture, api: ApiFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await api.user("anna", 2)
        plain = notices.context.tencent.message_push.__class__(
            notices.context.settings.pay.push_token, "", notices.pushes.app_id
        )
        monkeypatch.setattr(notices.context.tencent, "message_push", plain)
        monkeypatch.setattr(notices.pushes, "aes_key", "")
        assert await notices.choose("anna") == 0
        assert notices.delivery.statuses == [403]


async def test_a_message_that_was_not_delivered_clears_all_agreements(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 3)
    notices.next(is_undelivered=True)
    await notices.send()
    assert notices.left(anna.id) == 0
    bert = await notices.follower("bert", host)
    await notices.push("bert", event="subscribe_msg_sent_event", List={"TemplateId": TEMPLATE})
    assert notices.left(bert.id) == 1


async def test_a_failed_delivery_counts_also_if_the_answer_was_lost(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 3)
    notices.next(is_lost=True, is_undelivered=True)
    await notices.send()
    assert notices.left(anna.id) == 0


# ---- errors of WeChat


@pytest.mark.parametrize(
    ("errcode", "outcome", "left"),
    [
        (43101, "no_consent", 0),
        (45168, "title_refused", 2),
        (-1, "busy", 2),
        (40003, "unknown_user", 2),
    ],
)
async def test_a_refused_message_is_over_for_its_user(
    notices: NoticeFixture, host: ApiClient, errcode: int, outcome: str, left: int
) -> None:
    anna = await notices.follower("anna", host, 2)
    notices.next(errcode=errcode)
    assert await notices.send() == []
    assert (notices.left(anna.id), notices.waiting()) == (left, [])
    assert (await notices.api.metrics())[f'qlive_notices_total{{outcome="{outcome}"}}'] >= 1
    notices.next()
    assert await notices.send() == []


async def test_a_title_that_wechat_refuses_is_replaced_by_the_neutral_one(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 2)
    notices.db.rooms.update_one({"_id": host.live_id}, {"$set": {"title": "a 45168 title"}})
    (message,) = await notices.send()
    assert message["data"]["thing1"]["value"] == NEUTRAL
    assert notices.left(anna.id) == 1


async def test_a_nickname_that_wechat_refuses_is_replaced_where_it_stands_for_the_title(
    notices: NoticeFixture, host: ApiClient
) -> None:
    await notices.follower("anna", host)
    name = {"$set": {"owner.person.nickname": "a 45168 name"}}
    notices.db.rooms.update_one({"_id": host.live_id}, name)
    (message,) = await notices.send()
    assert [message["data"][name]["value"] for name in ("thing1", "thing2")] == [NEUTRAL] * 2


@pytest.mark.parametrize("errcode", [40037, 41030, 47003])
async def test_a_wrong_setting_drops_the_notices_of_the_live_and_costs_no_agreement(
    notices: NoticeFixture, host: ApiClient, errcode: int
) -> None:
    users = [await notices.follower(name, host) for name in ("anna", "bert")]
    notices.next(errcode=errcode)
    with capture_logs() as logs:
        assert await notices.send() == []
    assert [row["errcode"] for row in logs if row["event"] == "notices_rejected"] == [errcode]
    assert ([notices.left(user.id) for user in users], notices.waiting()) == ([1, 1], [])


async def test_a_used_up_quota_pauses_and_costs_no_agreement(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host)
    notices.next(errcode=45009)
    assert await notices.send() == []
    assert (notices.left(anna.id), notices.waiting()) == (1, [host.id])
    notices.next()
    await notices.service.job.sweep()
    assert notices.simulator.sent == [], "the pause is for all processes"
    assert await notices.receivers() == [openid_of("anna")]


async def test_a_message_whose_answer_is_lost_is_not_repeated(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host, 3)
    notices.next(is_lost=True)
    assert len(await notices.send()) == 1
    assert (notices.left(anna.id), notices.waiting()) == (2, [host.id])
    notices.next()
    assert await notices.send() == []
    assert (notices.left(anna.id), notices.waiting()) == (2, [])


@pytest.mark.parametrize(("lost", "pause"), [("bert", 3), ("anna bert", 30)])
async def test_a_lost_answer_pauses_for_long_only_if_none_comes(
    notices: NoticeFixture,
    host: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
    pause: int,
) -> None:
    for name in ("anna", "bert"):
        await notices.follower(name, host)
    send, both = notices.context.tencent.notices.send, asyncio.Barrier(2)

    async def send_or_lose(app_id: str, openid: str, *args: Any) -> Any:
        answer = await send(app_id, openid, *args)
        await both.wait()
        return NoticeAnswer("lost") if openid in map(openid_of, lost.split()) else answer

    monkeypatch.setattr(notices.context.tencent.notices, "send", send_or_lose)
    before = datetime.now(UTC)
    assert len(await notices.send()) == 2
    due_at = notices.db.job_leases.find_one({"_id": JOB_NAME})["due_at"].replace(tzinfo=UTC)
    assert pause - 1 < (due_at - before).total_seconds() < pause + 20


async def test_without_a_token_no_agreement_is_taken(
    notices: NoticeFixture, host: ApiClient
) -> None:
    anna = await notices.follower("anna", host)
    await notices.api.outage("wechat", status=500)
    assert await notices.send() == []
    assert notices.left(anna.id) == 1
    await notices.api.outage("wechat")
    assert len(await notices.send()) == 1


async def test_a_refusal_while_a_message_is_refused_for_its_title_is_not_undone(
    notices: NoticeFixture, host: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await notices.follower("anna", host, 2)
    send = notices.context.tencent.notices.send

    async def refuse_meanwhile(*args: Any) -> Any:
        answer = await send(*args)
        await notices.stores.consents.change(f"{anna.id}:{TEMPLATE}", Consent.clear)
        return answer

    monkeypatch.setattr(notices.context.tencent.notices, "send", refuse_meanwhile)
    notices.db.rooms.update_one({"_id": host.live_id}, {"$set": {"title": "a 45168 title"}})
    assert await notices.send() == []
    assert notices.left(anna.id) == 0


class TestUncheckedNames:
    @pytest.fixture
    def changes(self) -> dict[str, Any]:
        moderation = {"nickname": "show_until_refused", "room_name": "show_until_refused"}
        return {"notices": {"template_id": TEMPLATE}, "moderation": moderation}

    async def test_names_that_may_not_have_passed_their_check_are_not_sent(
        self, notices: NoticeFixture, host: ApiClient
    ) -> None:
        await notices.follower("anna", host)
        notices.db.rooms.update_one({"_id": host.live_id}, {"$set": {"title": "a title"}})
        (message,) = await notices.send()
        values = [message["data"][name]["value"] for name in ("thing1", "thing2")]
        assert values == [NEUTRAL, NEUTRAL]


class TestWithoutTemplate:
    @pytest.fixture
    def changes(self) -> dict[str, Any]:
        return {}

    async def test_a_live_that_begins_has_no_notices(
        self, notices: NoticeFixture, host: ApiClient
    ) -> None:
        assert host.live_id
        assert notices.waiting() == []
        assert notices.service.job not in notices.context.services.claimed_jobs


class TestRate:
    @pytest.fixture
    def changes(self) -> dict[str, Any]:
        return {"notices": {"template_id": TEMPLATE, "per_second": 2}}

    async def test_a_step_notifies_as_many_as_a_second_allows(
        self, notices: NoticeFixture, host: ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cursors = list[str]()
        advance = notices.stores.live_notices.advance

        async def note(epoch: str, after: str) -> None:
            cursors.append(after)
            await advance(epoch, after)

        monkeypatch.setattr(notices.stores.live_notices, "advance", note)
        users = [await notices.follower(name, host) for name in ("a", "b", "c")]
        assert len(await notices.send()) == 3
        assert cursors == sorted(user.id for user in users)[1:2]


class TestTurns:
    @pytest.fixture
    def changes(self) -> dict[str, Any]:
        return {"notices": {"template_id": TEMPLATE, "per_second": 10}}

    async def test_each_message_has_its_turn_also_those_with_the_neutral_title(
        self, notices: NoticeFixture, host: ApiClient
    ) -> None:
        for name in ("a", "b", "c"):
            await notices.follower(name, host, 2)
        notices.db.rooms.update_one({"_id": host.live_id}, {"$set": {"title": "a 45168 title"}})
        started = time.monotonic()
        assert len(await notices.send()) == 3
        assert time.monotonic() - started >= 0.5, "six messages"
