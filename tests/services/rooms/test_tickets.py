"""Tickets: what WeChat adds, who may enter, and entries at the same time on two processes."""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from tornado.ioloop import IOLoop

from config.sections import UploadsSettings
from core.clock import day_interval, day_of
from core.errors import InvalidParameter
from ledger.errors import RequestIdReused
from rooms.errors import FollowersOnly, InvitationInvalid, InvitationRequired, NotHost
from rooms.room import Room
from rooms.tickets import Ticket
from services.errors import Blocked, SessionKeyMissing
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from services.rooms.tickets import TicketService
from storage.accounts.users import User
from storage.jobs.outbox import DELETE_OBJECT
from tencent.errors import ServiceUnavailable
from tests.support.races import run_before
from tests.support.room_changes import RecordingListener
from tests.support.storage import SETTINGS, StoresFixture

KEY = base64.b64encode(b"session key 0016").decode()
IV = base64.b64encode(bytes(16)).decode()
MAX_MEMBERS = 3


class WechatFixture:
    """WeChat and COS; each call raises `away`, if that is set."""

    def __init__(self) -> None:
        self.away: Exception | None = None
        self.links: list[datetime] = []
        self.pictures: dict[str, bytes] = {}

    def _check(self) -> None:
        if self.away:
            raise self.away

    async def activity_id(self, _app_id: str, openid: str) -> str:
        self._check()
        return f"activity of {openid}"

    async def url_link(self, _app_id: str, _page: str, expires_at: datetime) -> str:
        self._check()
        self.links.append(expires_at)
        return f"https://wxaurl.cn/{len(self.links)}"

    async def code(self, _app_id: str, _page: str, scene: str) -> bytes:
        return scene.encode()

    async def head(self, key: str) -> bytes | None:
        self._check()
        return self.pictures.get(key)

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        assert (key not in self.pictures, content_type) == (True, "image/jpeg")
        self.pictures[key] = body


class Lives:
    """Enters users as LiveRoomService, without sessions and presence."""

    def __init__(self, room_changes: RoomChanges) -> None:
        self._room_changes = room_changes

    async def enter(self, live_id: int, user: User, _token: str, ticket_id: str = "") -> Room:
        return await self._room_changes.enter(live_id, user.person(), ticket_id, MAX_MEMBERS)


class ProcessFixture:
    """The service with stores and queues of its own, like one process."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = StoresFixture(stores.database)
        listener: Any = RecordingListener()
        self.room_changes = RoomChanges(self.stores, consequences(self.stores), listener)
        self.wechat: Any = WechatFixture()
        lives: Any = Lives(self.room_changes)
        no_checks: Any = None
        safety = UserSafetyService(self.stores, no_checks, SETTINGS.moderation)
        self.service = TicketService(
            self.stores,
            self.room_changes,
            lives,
            safety,
            wechat=self.wechat,
            cos=self.wechat,
            uploads=UploadsSettings(bucket="qlive-1250000000", secret_id="AKID", secret_key="key"),
            page="pages/room/room",
        )

    async def user(self, name: str) -> User:
        user, _ = await self.stores.users.create("app", name, nickname=name, gender=1)
        return user

    async def enter(
        self, user: User, ticket: str, live_id: int | None = None, proof: str = "", iv: str = IV
    ) -> Room:
        user = await self.stores.users.get(user.user_id)
        return await self.service.enter(live_id, user, "token", ticket, proof, iv)


class LiveFixture(ProcessFixture):
    """A private live of `host`."""

    host: User
    live_id: int

    async def open(self, name: str = "hong", visibility: Any = "private") -> "LiveFixture":
        self.host = await self.user(name)
        host = self.host.person()
        self.live_id, group_id, _ = await self.stores.rooms.get_or_create(host)
        await self.room_changes.begin(
            self.live_id, lambda room: room.open(host, f"e-{name}", "s", 0, visibility, group_id)
        )
        return self

    async def issue(self, by: Any, **options: Any) -> tuple[Ticket, str]:
        return await self.service.issue(self.live_id, self.host, by, 60, **options)

    async def ticket(self, by: Any = "link", **options: Any) -> str:
        return (await self.issue(by, **options))[0].id

    async def change(self, rule: Callable[[Room], object]) -> None:
        await self.room_changes.change(self.live_id, rule)

    async def withdraw(self, ticket_id: str) -> None:
        await self.change(lambda room: room.withdraw_ticket(self.host.user_id, ticket_id))

    async def set_visibility(self, visibility: Any) -> None:
        await self.change(
            lambda room: room.set_visibility(
                self.host.user_id, visibility, f"g-{visibility}", lambda user: f"{user}_s", str
            )
        )

    async def members(self) -> set[str]:
        rows = await self.stores.rows("members").find({"live_id": self.live_id}).to_list()
        return {row["_id"] for row in rows} - {self.host.user_id}


@pytest.fixture
def live(io_loop: IOLoop, stores: StoresFixture) -> LiveFixture:
    fixture: LiveFixture = io_loop.run_sync(LiveFixture(stores).open)
    return fixture


@pytest.fixture
def other(stores: StoresFixture) -> ProcessFixture:
    """Another process."""
    return ProcessFixture(stores)


def encrypted(data: dict[str, Any], app_id: str = "app") -> str:
    """What WeChat gives to the phone of a user with the session key KEY."""
    plain = json.dumps({**data, "watermark": {"appid": app_id, "timestamp": 1}}).encode()
    cipher = AES.new(base64.b64decode(KEY), AES.MODE_CBC, bytes(16))
    return base64.b64encode(cipher.encrypt(pad(plain, 16))).decode()


def kinds(outcomes: Sequence[Any]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


# ---- issuing


async def test_each_kind_of_ticket_has_its_part_and_is_issued_without_it(live: LiveFixture) -> None:
    anna = await live.user("anna")
    app, part = await live.issue("app", user_id=anna.user_id, uses=7)
    assert (app.user_id, app.uses, part) == (anna.user_id, 1, "")
    for away in (ServiceUnavailable("wechat"), None):
        live.wechat.away = away
        friend, _ = await live.issue("friend", user_id=anna.user_id)
        assert friend.user_id == "", "only a ticket by app names a user"
        assert bool(friend.activity_id) == (away is None)
        parts = [await live.issue(by) for by in ("link", "code")]
        assert [bool(part) for _, part in parts] == [away is None] * 2
    live.wechat.away = TimeoutError()
    assert (await live.issue("code"))[1] == ""
    for user in (anna, await live.user("bert")):
        with pytest.raises(NotHost):
            await live.service.issue(live.live_id, user, "friend", 60)


async def test_all_tickets_of_a_day_share_one_link_that_outlives_them(
    live: LiveFixture, other: ProcessFixture
) -> None:
    _, end = day_interval(day_of(datetime.now(UTC)))
    first, second = [await live.issue("link") for _ in range(2)]
    third = await other.service.issue(live.live_id, live.host, "link", 60)
    for ticket, link in (first, second, third):
        assert link == f"https://wxaurl.cn/1?cq=t%3D{ticket.id}"
    [expires_at] = live.wechat.links
    assert expires_at >= end + timedelta(days=1)


async def test_a_code_is_made_once_and_deleted_also_if_its_ticket_has_ended_meanwhile(
    live: LiveFixture,
) -> None:
    issued = [await live.issue("code", request_id="r1") for _ in range(2)]
    assert issued[0] == issued[1]
    assert live.wechat.pictures == {issued[0][0].picture: issued[0][0].id.encode()}
    host_id = live.host.user_id
    run_before(live.wechat, "put", lambda: live.change(lambda room: room.end(host_id)))
    ticket, _ = await live.issue("code")
    deleted = await live.stores.rows("outbox").find({"kind": DELETE_OBJECT}).to_list()
    assert [row["payload"]["key"] for row in deleted].count(ticket.picture) == 2


async def test_the_same_request_id_gives_the_same_ticket_on_two_processes(
    live: LiveFixture, other: ProcessFixture
) -> None:
    requests = [
        process.service.issue(live.live_id, live.host, "link", 60, uses=2, request_id="r1")
        for process in (live, other) * 3
    ]
    issued = await asyncio.gather(*requests)
    assert len({ticket.id for ticket, _ in issued}) == 1
    for options in ({"uses": 3}, {"uses": 2, "by": "code"}):
        with pytest.raises(RequestIdReused):
            await live.issue(**{"by": "link", "request_id": "r1", **options})


async def test_an_invitation_into_the_app_names_a_user_who_is_not_blocked(
    live: LiveFixture,
) -> None:
    anna = await live.user("anna")
    with pytest.raises(InvalidParameter):
        await live.issue("app")
    await live.stores.user_blocks.put(anna.user_id, live.host.user_id)
    with pytest.raises(Blocked):
        await live.issue("app", user_id=anna.user_id)
    with pytest.raises(Blocked):
        await live.enter(anna, await live.ticket())


# ---- entering


async def test_forged_foreign_withdrawn_and_used_up_tickets_are_refused(
    live: LiveFixture, stores: StoresFixture
) -> None:
    anna, bert = await live.user("anna"), await live.user("bert")
    named = await live.ticket("app", user_id=anna.user_id)
    withdrawn, used = await live.ticket(), await live.ticket()
    await live.withdraw(withdrawn)
    assert (await live.enter(anna, used)).live_id == live.live_id
    for ticket in ("forged", named, withdrawn, used):
        for live_id in (None, live.live_id):
            with pytest.raises(InvitationInvalid):
                await live.enter(bert, ticket, live_id)
    with pytest.raises(InvitationRequired):
        await live.room_changes.enter(live.live_id, bert.person())
    second = await LiveFixture(stores).open("ming")
    with pytest.raises(InvitationInvalid):
        await live.enter(bert, await second.ticket(), live.live_id)
    assert await live.members() == {anna.user_id}
    await live.enter(anna, "forged", live.live_id)  # a member comes back with any ticket


async def test_a_refused_ticket_leaves_the_user_in_the_room_where_they_are(
    live: LiveFixture, stores: StoresFixture
) -> None:
    second = await LiveFixture(stores).open("ming", "public")
    bert = await live.user("bert")
    await second.room_changes.enter(second.live_id, bert.person())
    with pytest.raises(InvitationInvalid):
        await live.enter(bert, "forged", live.live_id)
    member = await stores.members.get(bert.user_id)
    assert member
    assert member.live_id == second.live_id
    await live.enter(bert, await live.ticket())
    assert await live.members() == {bert.user_id}


async def test_a_friends_ticket_opens_only_with_wechats_proof(live: LiveFixture) -> None:
    anna = await live.user("anna")
    issued, _ = await live.issue("friend")
    ticket, activity = issued.id, {"activityId": issued.activity_id}
    with pytest.raises(InvitationInvalid):
        await live.enter(anna, ticket)
    with pytest.raises(SessionKeyMissing):
        await live.enter(anna, ticket, proof=encrypted(activity))
    await live.stores.users.store_session_key(anna.user_id, KEY)
    for forged in ("AAAA", encrypted(activity, "another app")):
        with pytest.raises(SessionKeyMissing):
            await live.enter(anna, ticket, proof=forged)
    for data in ({}, {"activityId": "another"}):
        with pytest.raises(InvitationInvalid):
            await live.enter(anna, ticket, proof=encrypted(data))
    await live.enter(anna, ticket, proof=encrypted(activity))
    await live.room_changes.remove(anna.user_id)
    await live.enter(anna, ticket)  # the taker needs no second proof
    live.wechat.away = ServiceUnavailable("wechat")
    bert = await live.user("bert")
    await live.enter(bert, await live.ticket("friend"))
    assert await live.members() == {anna.user_id, bert.user_id}


# ---- at the same time


async def test_of_twenty_takers_of_one_ticket_on_two_processes_exactly_one_enters(
    live: LiveFixture, other: ProcessFixture
) -> None:
    ticket = await live.ticket()
    users = [await live.user(f"user{n}") for n in range(20)]
    outcomes = await asyncio.gather(
        *((live, other)[n % 2].enter(user, ticket) for n, user in enumerate(users)),
        return_exceptions=True,
    )
    assert kinds(outcomes) == ["InvitationInvalid"] * 19 + ["Room"]
    assert len(await live.members()) == 1


async def test_the_limit_of_members_is_exact_on_two_processes(
    live: LiveFixture, other: ProcessFixture
) -> None:
    ticket = await live.ticket(uses=20)
    users = [await live.user(f"user{n}") for n in range(12)]
    outcomes = await asyncio.gather(
        *((live, other)[n % 2].enter(user, ticket) for n, user in enumerate(users)),
        return_exceptions=True,
    )
    assert kinds(outcomes) == ["Room"] * 2 + ["RoomFull"] * 10
    assert len(await live.members()) == MAX_MEMBERS - 1
    takers = (await live.room_changes.load(live.live_id)).tickets[ticket].takers
    assert {*takers} == await live.members(), "a refusal uses nothing up"


async def test_a_user_who_enters_while_the_live_becomes_one_for_followers_has_to_follow(
    live: LiveFixture,
) -> None:
    await live.set_visibility("public")
    other = LiveFixture(live.stores)
    other.live_id, other.host = live.live_id, live.host
    anna = (await live.user("anna")).person()
    for follows in (False, True):
        run_before(live.stores.rooms, "commit", lambda: other.set_visibility("followers"))
        entry = live.room_changes.enter(live.live_id, anna, follows=follows)
        outcome = (await asyncio.gather(entry, return_exceptions=True))[0]
        assert isinstance(outcome, Room if follows else FollowersOnly), outcome
        assert await live.members() == ({anna.user_id} if follows else set())
        await live.set_visibility("public")


@pytest.mark.parametrize("with_ticket", [False, True])
async def test_a_user_who_enters_while_the_live_becomes_private_needs_a_ticket(
    live: LiveFixture, *, with_ticket: bool
) -> None:
    await live.set_visibility("public")
    ticket = await live.ticket() if with_ticket else ""
    anna = await live.user("anna")
    if with_ticket:
        await live.enter(anna, ticket)
        await live.room_changes.remove(anna.user_id)
    other = LiveFixture(live.stores)
    other.live_id, other.host = live.live_id, live.host
    run_before(live.stores.rooms, "commit", lambda: other.set_visibility("private"))
    entry = live.room_changes.enter(live.live_id, anna.person(), ticket, MAX_MEMBERS)
    outcome = (await asyncio.gather(entry, return_exceptions=True))[0]
    assert isinstance(outcome, Room if with_ticket else InvitationRequired), outcome
    assert await live.members() == ({anna.user_id} if with_ticket else set())
