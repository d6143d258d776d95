"""Kicks and mutes are sent as the database has them at the time of the delivery."""

from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.clock import now_ms
from people.matches import Pair
from services.accounts.matches import MatchService
from services.chat.outbox_actions import ImActions, live_streaming_actions
from tencent.cloud_api import LiveStreamingClient
from tencent.errors import ImGroupMissing
from tencent.im import MUTED_FOR_EVER, ImClient
from tests.support.room_builders import ANNA
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room


class FakeIm:
    """Records the commands; `during_next` runs once, while a command is under way."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.during_next: Callable[[], Awaitable[object]] | None = None

    async def kick(self, user_id: str) -> None:
        self.sent.append(("kick", user_id))

    async def forbid_send_msg(self, group_id: str, user_id: str, seconds: int) -> None:
        await self._during()
        self.sent.append((group_id, user_id, seconds))

    async def mute_group(self, group_id: str, *, on: bool) -> None:
        await self._during()
        self.sent.append((group_id, on))

    async def add_friends(self, *users: str) -> None:
        await self._during()
        self.sent.append(("add", *users))

    async def delete_friends(self, *users: str) -> None:
        await self._during()
        self.sent.append(("delete", *users))

    async def _during(self) -> None:
        work, self.during_next = self.during_next, None
        if work:
            await work()


class SanctionsFixture:
    """A room, a user, and the actions on a fake IM."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.im = stores, FakeIm()
        not_used = cast("Any", None)
        self.actions = ImActions(
            cast("ImClient", self.im), stores, not_used, not_used, not_used
        ).by_kind
        self.live_id, self.user_id, self.group_id = 0, "", ""

    async def create(self) -> "SanctionsFixture":
        (self.user_id,) = await self.stores.create_users((0, 0))
        self.live_id = await open_room(self.stores)
        room = await self.stores.rooms.read(self.live_id)
        assert room
        self.group_id = room.group_id
        return self

    async def kick(self, *, even_if_signed_in: bool = False) -> list[tuple[Any, ...]]:
        payload = {"user_id": self.user_id, "even_if_signed_in": even_if_signed_in}
        await self.actions["kick"](payload)
        return self.im.sent

    async def mute(self) -> list[tuple[Any, ...]]:
        """The seconds of every command, after one message."""
        await self.actions["mute"]({"user_id": self.user_id, "live_id": self.live_id})
        assert {row[:2] for row in self.im.sent} <= {(self.group_id, self.user_id)}
        return [row[2] for row in self.im.sent]

    @property
    def rooms(self) -> Any:
        return self.stores.database.collection("rooms")

    async def set_user(self, **fields: Any) -> None:
        await self.stores.users.update(self.user_id, **fields)

    async def remove_until(self, until: int | None) -> None:
        name = f"bans.{self.user_id}"
        change = {"$unset": {name: ""}} if until is None else {"$set": {name: until}}
        await self.rooms.update_one({"_id": self.live_id}, change)


async def test_user_is_kicked_without_a_session_or_when_banned(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    assert await fixture.kick() == [("kick", fixture.user_id)]
    await stores.tokens.issue(fixture.user_id)
    assert len(await fixture.kick()) == 1, "they have logged in again"
    assert len(await fixture.kick(even_if_signed_in=True)) == 2
    await fixture.set_user(banned=True)
    assert len(await fixture.kick()) == 3


async def test_user_is_muted_while_a_removal_a_mute_or_a_ban_lasts(
    stores: StoresFixture,
) -> None:
    fixture = await SanctionsFixture(stores).create()
    here, soon, later, past = fixture.live_id, now_ms() + 600_000, now_ms() + 900_000, now_ms() - 1
    for banned, muted_in, removed_until, muted_until, longest in (
        (False, 0, soon, past, 600),
        (False, 0, past, past, 0),
        (False, 0, None, past, 0),
        (False, 0, soon, later, 900),
        (True, here, soon, past, MUTED_FOR_EVER),
        (True, here + 1, soon, past, 600),
    ):
        await fixture.set_user(banned=banned, muted_in=muted_in)
        await fixture.remove_until(removed_until)
        mute = {"$set": {f"muted.{fixture.user_id}": muted_until}}
        await fixture.rooms.update_one({"_id": here}, mute)
        seconds = (await fixture.mute())[-1]
        assert longest * 0.9 <= seconds <= longest, (banned, muted_in, removed_until, muted_until)


async def test_a_group_is_closed_or_opened_as_its_room_is(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    for on in (True, False):
        await fixture.rooms.update_one({"_id": fixture.live_id}, {"$set": {"mute_all": on}})
        await fixture.actions["mute"]({"live_id": fixture.live_id})
        assert fixture.im.sent[-1] == (fixture.group_id, on)


async def test_ban_lifted_during_the_command_is_undone_by_it(stores: StoresFixture) -> None:
    """The message of the lifting may have been delivered before."""
    fixture = await SanctionsFixture(stores).create()
    await fixture.set_user(banned=True, muted_in=fixture.live_id)

    async def lift() -> None:
        await fixture.set_user(banned=False, muted_in=0)

    fixture.im.during_next = lift
    assert await fixture.mute() == [MUTED_FOR_EVER, 0]


async def test_a_match_that_ends_during_the_command_ends_the_friendship(
    stores: StoresFixture,
) -> None:
    fixture = await SanctionsFixture(stores).create()
    users = await stores.create_users((0, 0), (0, 0))
    matches = MatchService(stores)
    await stores.matches.save(Pair.of(*users), Pair.of(*users).meet(1, "e1", now_ms()))
    for by, of in (users, users[::-1]):
        await matches.like(by, of)
    payload = {"users": users}
    await fixture.actions["friendship"](payload)
    fixture.im.during_next = partial(matches.end, *users)
    await fixture.actions["friendship"](payload)
    assert fixture.im.sent == [(what, *users) for what in ("add", "add", "delete")]


async def test_unknown_user_or_room_is_not_muted(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    fixture.user_id, known = ANNA.user_id, fixture.user_id
    assert await fixture.mute() == []
    fixture.user_id, fixture.live_id = known, 999
    assert await fixture.mute() == []


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("everybody", [True, False])
async def test_dissolved_group_is_replaced_unless_it_is_left_to_the_next_live(
    stores: StoresFixture, everybody: bool, live: bool
) -> None:
    fixture = await SanctionsFixture(stores).create()
    if not live:
        await change_room(stores, fixture.live_id, lambda room: room.close("host"))

    async def refuse() -> None:
        raise ImGroupMissing(10015, "")

    fixture.im.during_next = refuse
    target = {} if everybody else {"user_id": fixture.user_id}
    await fixture.actions["mute"]({**target, "live_id": fixture.live_id})
    assert fixture.im.sent == []
    orders = stores.database.collection("outbox").find({"kind": "replace_group"})
    payload = {"live_id": fixture.live_id, "group_id": fixture.group_id}
    assert [row["payload"] for row in await orders.to_list()] == [payload] * live


async def test_streams_are_dropped_the_newest_first() -> None:
    """It may still be pushed."""
    dropped: list[str] = []

    async def drop(stream: str) -> None:
        dropped.append(stream)

    live_streaming = cast("LiveStreamingClient", SimpleNamespace(drop=drop))
    await live_streaming_actions(live_streaming)["drop_stream"]({"streams": ["first", "second"]})
    assert dropped == ["second", "first"]
