"""Creates the chat groups of rooms at Tencent IM, and replaces those that IM has dissolved."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from core.clock import now_ms
from rooms.events import NumberedEvent
from rooms.members import Person
from rooms.room import Room
from services.room_changes import RoomChanges
from storage.chat import new_group_id
from storage.jobs.outbox import MUTE_AGAIN, OutboxStore
from storage.stores import Stores
from storage.write_batch import WriteBatch
from tencent.errors import ImGroupMissing, ImGroupTaken
from tencent.im import ImClient

log = structlog.get_logger("qlive.chat")


async def queue_group_message(outbox: OutboxStore, kind: str, live_id: int, group_id: str) -> None:
    """Queue the creation of a missing group, or the replacement of a dissolved one."""
    payload = {"live_id": live_id, "group_id": group_id}
    await outbox.add(kind, payload, urgent=True, key=group_id)


async def destroy_groups(
    outbox: OutboxStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Have IM destroy the groups that the room no longer uses."""
    for group_id in room.groups_to_destroy:
        outbox.add_to(batch, "destroy_group", {"group_id": group_id}, urgent=True)


@dataclass
class GroupService:
    """Creates, checks and replaces chat groups; each method may be repeated by any process."""

    _stores: Stores
    _room_changes: RoomChanges
    _im: ImClient
    replaced: int = 0
    """Groups that this process has replaced."""

    async def ensure(self, live_id: int, group_id: str) -> None:
        """Create the group if it does not exist, unless the room has another one by now."""
        room = await self._room_changes.load(live_id)
        if room.group_id == group_id:
            await self.create(live_id, group_id, room.owner.person)

    async def create(self, live_id: int, group_id: str, host: Person) -> None:
        """Create the room's group, under another id if this one is taken. Raises as `replace`."""
        try:
            is_new = await self._create_at_im(group_id, host)
        except (ImGroupTaken, ImGroupMissing):
            await self.replace(live_id, group_id)
        else:
            if is_new:
                await self._mute_again(live_id)
            await self._stores.room_groups.mark_ready(live_id, group_id)

    async def replace(self, live_id: int, dissolved: str) -> None:
        """Give the room a new group, unless it no longer has the one that was dissolved.

        The new id is stored first, so that a repetition continues with it. Raises TryAgain soon
        after the last replacement, ServiceUnavailable or ImRejected.
        """
        host = (await self._room_changes.load(live_id)).owner.person
        group_id = await self._stores.room_groups.plan(live_id, dissolved)
        if group_id is None:
            return
        await self._create_at_im(group_id, host)
        if await self._room_changes.change(
            live_id, lambda room: room.change_group(dissolved, group_id)
        ):
            self.replaced += 1
            log.warning("group_replaced", live_id=live_id, before=dissolved, now=group_id)
        await self._mute_again(live_id)
        await self._stores.room_groups.mark_ready(live_id, group_id)

    @asynccontextmanager
    async def new(self, live_id: int, host: Person) -> AsyncIterator[str]:
        """Create a group for the block to use; destroy it if the room has another afterwards.

        Raises ServiceUnavailable or ImRejected before the block.
        """
        group_id = new_group_id(live_id)
        await self._create_at_im(group_id, host)
        try:
            yield group_id
        finally:
            if (await self._room_changes.load(live_id)).group_id == group_id:
                await self._mute_again(live_id)
            else:
                await self._stores.outbox.add("destroy_group", {"group_id": group_id})

    async def retire_host(self, user_id: str) -> None:
        """End the live of a user who may no longer host, and dissolve the group of the room."""
        membership = await self._stores.members.get(user_id)
        if membership and membership.role == "host":
            await self._room_changes.remove(user_id, "operator")
        if group_id := await self._stores.room_groups.detach(user_id):
            await self._stores.outbox.add("destroy_group", {"group_id": group_id})

    async def _mute_again(self, live_id: int) -> None:
        """Order the mutes of the room in its new group by one write, as there may be thousands.

        They use the lane of the groups, so that they delay no kick and no mute of another room.
        """
        room = await self._room_changes.load(live_id)
        mutes = {
            f"{live_id}:{user_id}": {"user_id": user_id, "live_id": live_id}
            for user_id in {**room.active_bans(now_ms()), **room.muted}
        }
        if room.mute_all:
            mutes[f"{live_id}:"] = {"live_id": live_id}
        await self._stores.outbox.add_urgent(MUTE_AGAIN, mutes)

    async def _create_at_im(self, group_id: str, host: Person) -> bool:
        """Create the group at IM and return whether it is new."""
        return await self._im.create_group(group_id, host.nickname, host.user_id, host.face_url)
