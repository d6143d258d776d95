"""Kicks and mutes are sent as the database has them at the time of the delivery."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from core.clock import now_ms
from services.chat.outbox_actions import ImActions
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

    async def forbid_send_msg(self, group_id: str, user_ids: list[str], seconds: int) -> None:
        work, self.during_next = self.during_next, None
        if work:
            await work()
        self.sent.append((group_id, *user_ids, seconds))


class SanctionsFixture:
    """A room, a user, and the actions on a fake IM."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.im = stores, FakeIm()
        not_used, own_stores = cast("Any", None), cast("Any", stores)
        self.actions = ImActions(
            cast("ImClient", self.im), own_stores, not_used, not_used, not_used
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

    async def set_user(self, **fields: Any) -> None:
        await self.stores.users.update(self.user_id, **fields)

    async def remove_until(self, until: int | None) -> None:
        name = f"blocked.{self.user_id}"
        change = {"$unset": {name: ""}} if until is None else {"$set": {name: until}}
        rooms = self.stores.database.collection("rooms")
        await rooms.update_one({"_id": self.live_id}, change)


# ---- kick


async def test_user_without_a_session_is_kicked(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    assert await fixture.kick() == [("kick", fixture.user_id)]


async def test_user_who_has_logged_in_again_is_kicked_only_if_banned_or_forced(
    stores: StoresFixture,
) -> None:
    fixture = await SanctionsFixture(stores).create()
    await stores.tokens.issue(fixture.user_id)
    assert await fixture.kick() == []
    assert len(await fixture.kick(even_if_signed_in=True)) == 1
    await fixture.set_user(banned=True)
    assert len(await fixture.kick()) == 2


# ---- mute


async def test_removed_user_is_muted_for_the_rest_of_the_time(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    await fixture.remove_until(now_ms() + 60_000)
    assert await fixture.mute() in ([60], [59])


async def test_mute_is_lifted_when_the_removal_is_over_or_was_lifted(
    stores: StoresFixture,
) -> None:
    fixture = await SanctionsFixture(stores).create()
    await fixture.remove_until(now_ms() - 1)
    assert await fixture.mute() == [0]
    await fixture.remove_until(None)
    assert await fixture.mute() == [0, 0]


async def test_banned_user_is_muted_for_ever_in_the_room_of_the_ban(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    await fixture.set_user(banned=True, muted_in=fixture.live_id)
    await fixture.remove_until(now_ms() + 60_000)
    assert await fixture.mute() == [MUTED_FOR_EVER]
    await fixture.set_user(banned=True, muted_in=fixture.live_id + 1)
    assert (await fixture.mute())[-1] in (60, 59)


async def test_ban_that_is_lifted_during_the_command_is_undone_by_the_same_message(
    stores: StoresFixture,
) -> None:
    """The message of the lifting may have been delivered before."""
    fixture = await SanctionsFixture(stores).create()
    await fixture.set_user(banned=True, muted_in=fixture.live_id)

    async def lift() -> None:
        await fixture.set_user(banned=False, muted_in=0)

    fixture.im.during_next = lift
    assert await fixture.mute() == [MUTED_FOR_EVER, 0]


async def test_unknown_user_or_room_is_not_muted(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    fixture.user_id, known = ANNA.user_id, fixture.user_id
    assert await fixture.mute() == []
    fixture.user_id, fixture.live_id = known, 999
    assert await fixture.mute() == []


async def test_dissolved_group_is_replaced_if_its_room_is_live(stores: StoresFixture) -> None:
    fixture = await SanctionsFixture(stores).create()
    await fixture.remove_until(now_ms() + 60_000)

    async def refuse() -> None:
        raise ImGroupMissing(10015, "")

    fixture.im.during_next = refuse
    assert await fixture.mute() == []
    orders = stores.database.collection("outbox").find({"kind": "replace_group"})
    payload = {"live_id": fixture.live_id, "group_id": fixture.group_id}
    assert [row["payload"] for row in await orders.to_list()] == [payload]


async def test_group_of_a_room_that_is_not_live_is_left_to_its_next_live(
    stores: StoresFixture,
) -> None:
    fixture = await SanctionsFixture(stores).create()
    await change_room(stores, fixture.live_id, lambda room: room.close("host"))

    async def refuse() -> None:
        raise ImGroupMissing(10010, "")

    fixture.im.during_next = refuse
    assert await fixture.mute() == []
    orders = stores.database.collection("outbox")
    assert await orders.count_documents({"kind": "replace_group"}) == 0
