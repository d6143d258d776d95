"""A user takes a copy of everything, and is deleted: afterwards only the number is left."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from devtools.simulator.wechat import openid_of
from ledger.bills import Difference
from people.notices import Consent
from runtime.process import ServerProcess
from services.accounts.data_requests import CHANGE_OF_MIND
from storage.accounts import exports
from storage.webhooks.payloads import WEBHOOK_PAYLOADS
from tencent.message_push import ACCOUNT_CLOSED, CONSENT_REVOKED
from tests.handlers.accounts.test_uploads import form_for, send_form, upload
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import OK, chat, commands, group_of, until_delivered, user_sig
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY, confirm, withdraw
from tests.support.mic import take_seat
from tests.support.payments import (
    create_order,
    event_sender,
    notification_statuses,
    pay_order,
    send_event,
)
from tests.support.server import job_of
from tests.support.waiting import until

DELETE, EXPORT, INFO = "qlive_user/delete/", "qlive_user/export/", "qlive_user/get_userinfo/"
REAL_NAME, WORDS, ROOM, REPORTED = "张三丰", "今晚八点见", "老乡大会", "他骗了我的钱"
AREA = "659004"
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("data_requests", "cos_outbox")


@pytest.fixture
def changes() -> dict[str, Any]:
    names = dict.fromkeys(("nickname", "room_name"), "hide_until_checked")
    return {
        "pay": {"provider": "xpay"},
        "withdraw": {**NO_MATURITY, "auto_fen": 1_000},
        "moderation": names,
    }


class Leaver:
    """A user of whom every collection holds something, with a host, a guest and a room."""

    def __init__(self, api: ApiFixture, server: ServerProcess, db: Any) -> None:
        self.api, self.server, self.db = api, server, db
        self.context = server.context

    async def create(self, name: str = "安娜妹妹") -> "Leaver":
        api, self.name = self.api, name
        hook = {"url": "http://127.0.0.1:1024/", "types": [*WEBHOOK_PAYLOADS]}
        (await api.ops("POST", "webhooks", **hook)).ok()
        self.host = await api.host()
        self.user = user = await api.user(name, 2)
        granted = {"gold": 100, "reason": "welcome", "request_id": "welcome"}
        (await api.ops("POST", f"users/{user.id}/grant", **granted)).ok()
        (await user.post("qlive_user/update_userinfo/", area=AREA, age=33)).ok()
        (await user.post("qlive_user/update_userinfo/", face_url=await upload(user))).ok()
        self.face = (await user.get(INFO)).ok()["face_url"]
        await self._visit()
        await self._earn()
        order = await create_order(user)
        await pay_order(api, order)
        await notification_statuses(self.server)
        await create_order(user)
        await self._order_of_another_provider()
        await self._host()
        await notification_statuses(self.server)
        case = {"_id": "R1", "user_id": user.id, "state": "closed", "request_id": "r1"}
        self.db.refund_cases.insert_one({**case, "reason": self.name, "orders": []})
        await self._close_difference()
        # An order that may still be paid delays a deletion: WeChat has answered about it.
        self.db.orders.update_many({"state": "created"}, {"$set": {"state": "closed"}})
        self.db.orders.update_many({}, {"$set": {"due_at": None}})
        return self

    async def _visit(self) -> None:
        """In another's room: on mic, a deputy, with a match, gifts, words, a report, a block."""
        user, host, live_id = self.user, self.host, self.host.live_id
        (await user.get("get_playurl/", live_id=live_id)).ok()
        (await user.post("qlive_room/apply_micro/", live_id=live_id)).ok()
        (await host.post("qlive_room/invite_micro/", live_id=live_id, user_id=user.id)).ok()
        (await user.post("qlive_room/accept_micro/", live_id=live_id)).ok()
        await self._match()
        (await give(user, host.id, CANDY, live_id=live_id)).ok()
        sig = await user_sig(user)
        assert await chat(self.api, user.id, sig, await group_of(user), text=WORDS) == OK
        await until(lambda: self.db.chat_lines.find_one({"user_id": user.id}))
        agree = partial(Consent.note_event, event_id="popup:1", at=1, accepted=True)
        await self.context.stores.consents.change(f"{user.id}:T1", agree)
        about = {"user_id": host.id, "live_id": live_id, "reason": "fraud", "text": REPORTED}
        (await user.post("qlive_user/report/", **about)).ok()
        about = {"user_id": user.id, "live_id": live_id, "reason": "abuse"}
        (await host.post("qlive_user/report/", **about)).ok()
        (await host.post("qlive_room/mute/", live_id=live_id, user_id=user.id, minutes=5)).ok()
        (await host.post("qlive_like/", user_id=user.id, like_state=1)).ok()
        (await user.post("qlive_like/", user_id=host.id, like_state=1)).ok()
        (await user.post("qlive_user/block/", user_id=host.id, blocked=True)).ok()
        (await user.get("qlive_room/leave_room/", live_id=live_id)).ok()
        other = await self.api.host("another host")
        (await user.get("get_playurl/", live_id=other.live_id)).ok()
        (await other.post("qlive_room/deputy/", user_id=user.id, on=1)).ok()
        (await user.get("qlive_room/leave_room/", live_id=other.live_id)).ok()
        for follower, followed in ((user, other), (other, user)):
            (await follower.post("qlive_follow/", user_id=followed.id, on=1)).ok()
        self.followed = other.id

    async def _match(self) -> None:
        """With a man on mic, who likes the user, too."""
        man = await self.api.guest("boris", 1, self.host.live_id)
        await take_seat(man)
        for user, other in ((self.user, man), (man, self.user)):
            (await user.post("qlive_like/", user_id=other.id, like_state=1)).ok()

    async def _earn(self) -> None:
        donor = await self.api.user("donor", 1, gold=2_000)
        (await give(donor, self.user.id, CANDY, 400)).ok()
        paid = await withdraw(self.user, 100, real_name=REAL_NAME)
        await confirm(self.api, paid["package_info"])

    async def _close_difference(self) -> None:
        """An operator closes a difference of a bill, and names the user."""
        found = Difference("other_amount", "payment", "Q1", user_id=self.user.id)._asdict()
        known = {"_id": "D1", "bill": "trade:2026-01-01", "state": "open", "found_at": PAST}
        self.db.bill_differences.insert_one({**known, **found})
        closed = {"id": "D1", "reason": f"called {self.name}"}
        (await self.api.ops("POST", "bills/differences/settle", **closed)).ok()

    async def _order_of_another_provider(self) -> None:
        row = self.db.orders.find_one({"user_id": self.user.id, "state": "created"})
        row |= {"_id": "Q20260101000000jsapi", "provider": "jsapi", "prepay_id": "wx-prepaid"}
        del row["open_keys"]
        self.db.orders.insert_one(row)

    async def _host(self) -> None:
        """In a room of their own, which is live, with a guest."""
        user = self.user
        await self.api.make_matchmaker(user)
        live_id = (await user.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
        cover = await upload(user, "cover")
        info = {"live_id": live_id, "room_name": ROOM, "room_image": cover}
        (await user.post("qlive_room/update_room/", **info)).ok()
        self.cover = self.db.rooms.find_one({"_id": live_id})["cover"]
        self.guest = await self.api.guest("bert", 1, live_id)
        about = {"user_id": self.guest.id, "live_id": live_id, "reason": "advert"}
        (await self.host.post("qlive_user/report/", **about)).ok()
        await until(lambda: self.db.outbox.count_documents({"state": "urgent"}) == 0)

    @property
    def secrets(self) -> list[str]:
        texts = [self.name, openid_of(self.name), self.face, self.cover, self.user.token, WORDS]
        return [*texts, ROOM, REAL_NAME, REPORTED, AREA]

    async def is_due(self) -> None:
        """The time of the deletion has come; until its next step is taken."""
        users = self.db.users
        users.update_one({"_id": self.user.id}, {"$set": {"delete_at": PAST}})
        await self.context.services.accounts.data_requests.job.sweep()
        await until(lambda: (users.find_one({"_id": self.user.id}).get("delete_at")) != PAST)

    async def delete(self) -> None:
        (await self.user.post(DELETE)).ok()
        await self.is_due()
        await self.is_due()

    def traces(self) -> list[tuple[str, str]]:
        """The secrets that a dump of the database holds, each with its collection."""
        dump = {
            name: "\n".join(text for row in self.db[name].find() for text in texts_in(row))
            for name in self.db.list_collection_names()
        }
        return [(name, text) for name in dump for text in self.secrets if holds(dump[name], text)]


def holds(dump: str, secret: str) -> bool:
    """Whether the dump has the secret; ids and times may have the digits of a number by chance."""
    if secret.isdigit():
        return re.search(rf"(?<![0-9a-f.]){secret}(?![0-9a-f])", dump) is not None
    return secret in dump


def texts_in(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, part in value.items():
                yield from (name, *texts_in(part))
        case list():
            for part in value:
                yield from texts_in(part)
        case bytes():
            yield value.decode(errors="ignore")
        case _:
            yield str(value)


@pytest.fixture
def leaver(api: ApiFixture, server: ServerProcess, db: Any) -> Leaver:
    return Leaver(api, server, db)


async def test_a_deleted_user_leaves_nothing_but_a_number(
    leaver: Leaver, api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    user = (await leaver.create()).user
    old_form = await form_for(user)
    assert {text for _, text in leaver.traces()} == {*leaver.secrets} - {REAL_NAME, user.token}
    before = db.users.find_one({"_id": user.id})
    assert {"real_name", "session_key"} <= before.keys()
    socket = await leaver.guest.watch()

    await leaver.delete()
    await until_delivered(server)
    assert leaver.traces() == []
    assert [*db.follows.find()] == []
    assert [*db.follower_counts.find()] == [{"_id": leaver.followed, "n": 0}]
    row = db.users.find_one({"_id": user.id})
    assert {name: row[name] for name in ("gold", "income", "create_time")} == {
        name: before[name] for name in ("gold", "income", "create_time")
    }
    assert not {"real_name", "session_key", "former", "delete_at"} & row.keys()
    assert await server.context.stores.ledger_reconciler.problems() == []
    assert (await socket.next())["type"] == "live_end"
    assert (await user.get(INFO)).refusal == (401, "token")
    await job_of(server, "cos_outbox").sweep()
    for address in (leaver.face, leaver.cover):
        assert await server.context.tencent.cos.head(address.partition("/cos/")[2]) is None
    assert await send_form(old_form) == 200
    db.outbox.update_many({"state": "later"}, {"$set": {"due_at": PAST}})
    await job_of(server, "cos_outbox").sweep()
    assert await server.context.tencent.cos.head(old_form["key"]) is None
    assert await commands(api, "account_delete")
    # A message of the room that comes later imports the number alone.
    assert not server.simulator.im.accounts.get(user.id)  # type: ignore[union-attr]

    new = await api.user(leaver.name, 2)
    assert new.id != user.id
    assert (await new.get(INFO)).ok()["gold"] == 0
    for refused in (
        await leaver.guest.get(INFO, user_id=user.id),
        await give(new, user.id, CANDY),
        await new.post("qlive_user/report/", user_id=user.id, reason="other"),
    ):
        assert refused.refusal == (404, "no_such_user")
    shown = (await api.ops("GET", f"users/{user.id}")).ok()
    assert (shown["nickname"], shown["deleted_at"] is None) == ("", False)


async def test_a_deletion_that_was_killed_at_any_step_goes_on(
    leaver: Leaver, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = (await leaver.create()).user
    deletions, taken = server.context.stores.deletions, 0
    steps, at_once = deletions.steps, 0

    async def kill() -> None:
        raise RuntimeError("killed")

    def killed(of: Any) -> Any:
        """Each run comes one step further than the last, and repeats the step before."""
        nonlocal taken
        taken += 1
        return [*steps(of)[:taken], kill]

    (await user.post(DELETE)).ok()
    await leaver.is_due()
    at_once = len(steps(await server.context.stores.users.get(user.id, deleted=True)))
    monkeypatch.setattr(deletions, "steps", killed)
    for _ in range(at_once - 1):
        await leaver.is_due()
    assert taken == at_once - 1
    monkeypatch.setattr(deletions, "steps", steps)
    await leaver.is_due()
    await until_delivered(server)
    assert leaver.traces() == []
    assert await server.context.stores.ledger_reconciler.problems() == []


async def test_a_deletion_can_be_taken_back_for_seven_days(
    api: ApiFixture, leaver: Leaver, db: Any
) -> None:
    user = leaver.user = await api.user("anna", 2)
    assert "delete_at" not in (await user.get(INFO)).ok()
    planned = (await user.post(DELETE)).ok()["delete_at"]
    assert planned == (await user.post(DELETE)).ok()["delete_at"]
    at = db.users.find_one({"_id": user.id})["delete_at"].replace(tzinfo=UTC)
    assert abs(at - datetime.now(UTC) - CHANGE_OF_MIND) < timedelta(minutes=1)
    await api.log_in("anna")
    assert (await user.get(INFO)).ok()["delete_at"] == planned
    other = await api.user("bert", 1)
    assert "delete_at" not in (await other.get(INFO, user_id=user.id)).ok()
    assert (await user.post(DELETE, cancel=True)).ok()["delete_at"] is None
    await leaver.context.services.accounts.data_requests.job.sweep()
    assert "delete_at" not in (await user.get(INFO)).ok()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("withdrawals", {"state": "requested"}),
        ("refund_cases", {"state": "opened", "request_id": "r1"}),
        ("orders", {"due_at": PAST + timedelta(days=9_000)}),
        ("users", {"banned": True}),
        ("users", {"age_refused": True}),
        ("users", {"owed": 60}),
        ("users", {"owed_income": 1}),
        ("users", {"stream_forbidden_until": PAST + timedelta(days=9_000)}),
    ],
)
async def test_a_deletion_waits_for_money_on_its_way_and_the_end_of_a_ban_or_debt(
    api: ApiFixture, leaver: Leaver, db: Any, name: str, row: dict[str, Any]
) -> None:
    user = leaver.user = await api.user("anna", 2)
    (await user.post(DELETE)).ok()
    if name == "users":
        db.users.update_one({"_id": user.id}, {"$set": row})
    else:
        db[name].insert_one({"_id": "1", "user_id": user.id, **row})
    await leaver.is_due()
    stored = db.users.find_one({"_id": user.id})
    assert stored["deleted_at"] is None
    assert stored["delete_at"].replace(tzinfo=UTC) > datetime.now(UTC) + timedelta(hours=23)


@pytest.mark.parametrize("change", [{"delete_at": None}, {"age_refused": True}, {"owed": 1}])
async def test_a_deletion_taken_back_or_forbidden_while_it_begins_does_not_begin(
    api: ApiFixture, server: ServerProcess, db: Any, change: dict[str, Any]
) -> None:
    user = await api.user("anna", 2)
    (await user.post(DELETE)).ok()
    claimed = await server.context.stores.users.get(user.id)
    db.users.update_one({"_id": user.id}, {"$set": change})
    assert not await server.context.stores.deletions.close(claimed, timedelta())
    assert db.users.find_one({"_id": user.id})["openid"] == openid_of("anna")


async def test_a_withdrawal_of_the_moment_before_keeps_what_its_payment_needs(
    api: ApiFixture, leaver: Leaver, db: Any
) -> None:
    user = leaver.user = await api.user("anna", 2)
    (await user.post(DELETE)).ok()
    await leaver.is_due()
    row = {"_id": "W1", "user_id": user.id, "state": "requested", "openid": openid_of("anna")}
    db.withdrawals.insert_one(row)
    await leaver.is_due()
    assert db.withdrawals.find_one()["openid"]
    db.withdrawals.update_one({}, {"$set": {"state": "paid"}})
    # A debt of the time after the closing ends nothing.
    db.users.update_one({"_id": user.id}, {"$set": {"owed": 5}})
    await leaver.is_due()
    assert not db.withdrawals.find_one()["openid"]
    assert "delete_at" not in db.users.find_one({"_id": user.id})


async def test_an_account_that_im_does_not_delete_loses_its_profile(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    await until_delivered(server)
    simulated: Any = server.simulator.im  # type: ignore[union-attr]
    im = server.context.tencent.im
    assert await im.account_delete("99999999")  # unknown to IM
    simulated.deletes_accounts = False
    await server.context.stores.outbox.add("account_delete", {"user_id": anna.id})
    await until_delivered(server)
    assert simulated.accounts[anna.id]["Tag_Profile_IM_Nick"] == ""


@pytest.mark.parametrize("event", [CONSENT_REVOKED, ACCOUNT_CLOSED])
async def test_wechats_events_start_a_deletion_if_they_are_signed(
    api: ApiFixture, server: ServerProcess, db: Any, event: str
) -> None:
    anna = await api.user("anna", 2)
    openid = openid_of("anna")
    content = event_sender(server).contents(openid=openid)[event]
    notifications = server.context.services.payments.notifications
    assert (await notifications.process_event(content, signed=False)).event == event
    assert "delete_at" not in (await anna.get(INFO)).ok()
    await send_event(api, event_sender(server), event, openid="oNobody")
    await send_event(api, event_sender(server), event, "twice", openid=openid)
    assert (await anna.get(INFO)).ok()["delete_at"]
    # They may name the openid of a user who is deleted already.
    assert db.inbox.count_documents({"event": event, "expires_at": {"$ne": None}}) == 2
    assert not db.inbox.count_documents({"_id": {"$regex": openid}})


@pytest.mark.parametrize("paused_jobs", [()])
async def test_a_copy_has_everything_of_the_user_and_of_others_only_their_numbers(
    leaver: Leaver, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PART_ROWS", 7)
    user = (await leaver.create()).user
    first = await user.get(EXPORT)
    assert (first.ok()["state"], first.ok()["export"]) == ("building", {})
    ready = await until(lambda: copy_of(user))
    parts = [ready, *[await copy_of(user, part) for part in range(2, ready["parts"] + 1)]]
    assert len(parts) > 2
    assert not (await copy_of(user, ready["parts"] + 1))["export"]
    rows: dict[str, list[Any]] = {}
    for part in parts:
        for section, found in part["export"].items():
            rows.setdefault(section, []).extend(found)
    assert all(rows.values()), {name: len(found) for name, found in rows.items()}
    text = json.dumps(rows, ensure_ascii=False)
    assert [secret for secret in leaver.secrets if secret not in text] == [user.token]
    assert leaver.host.id in text
    foreign = db.users.find({"_id": {"$ne": user.id}})
    assert not [other for other in foreign if other["nickname"] in text or other["openid"] in text]
    (profile,) = rows["profile"]
    assert profile["user_id"] == user.id
    assert profile["real_name"] == REAL_NAME
    assert not {"session_key", "_id", "has_blocks", "risk_rank"} & profile.keys()
    journal = db.ledger.count_documents({"lines.account": f"user:{user.id}"})
    assert len(rows["journal"]) == journal
    assert not any(WORDS in text for row in db.exports.find() for text in texts_in(row))

    assert (await copy_of(user))["made_at"] == ready["made_at"]
    db.exports.update_one({"_id": user.id}, {"$set": {"asked_at": PAST}})
    assert (await user.get(EXPORT)).ok()["state"] == "building"


async def copy_of(user: ApiClient, part: int = 1) -> Any:
    """A part of the user's copy once it is made."""
    answer = (await user.get(EXPORT, part=part)).ok()
    return answer if answer["state"] == "ready" else None
