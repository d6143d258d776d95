"""Updates a user's profile, and publishes it to the room and to IM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from realtime.hub import Hub
from rooms.members import Person
from rooms.moderation import FIELDS, Item, Kind
from rooms.room import Room
from services.accounts.pictures import PictureService
from services.moderation.decisions import Confirm
from services.moderation.proposals import ProposalService
from services.room_changes import BatchData, RoomChanges
from storage.accounts.users import User
from storage.database import Session
from storage.stores import Stores

CHECKED: tuple[Kind, ...] = ("nickname", "face")


@dataclass
class ProfileService:
    """Changes the profiles of users, where they are stored and where they are shown."""

    _stores: Stores
    _room_changes: RoomChanges
    _hub: Hub
    _pictures: PictureService
    _proposals: ProposalService

    async def update(self, old: User, **changes: Any) -> User:
        """Store the changes, then update the user's room and, if the face changed, IM.

        The message to IM is stored with the changes, and its delivery updates the room as well, in
        case that this process dies before. A face that was uploaded is replaced by the address of
        its copy. A name or a face that has yet to be checked is left out, and shown by `apply`.
        Raises as PictureService.address_of and ProposalService.propose.
        """
        proposals = []
        shown: dict[str, Any] = {}
        for kind in CHECKED:
            field = FIELDS[kind]
            if (value := changes.pop(field, None)) is None:
                continue
            if kind == "face" and value not in ("", old.face_url):
                value = await self._pictures.address_of("face", old.user_id, value)
            proposal = await self._proposals.propose(kind, old, value, getattr(old, field))
            proposals.append(proposal)
            shown |= {field: value} if proposal.value_to_show == value else {}

        async def add_writes(session: Session, user: User) -> None:
            for proposal in proposals:
                await self._stores.moderation.put(proposal, session)
            if shown:
                await self._stores.users.update(user.user_id, session, **shown)
            face = replace(user, **shown).person().public_profile()
            if face != user.person().public_profile() or face != old.person().public_profile():
                await self._add_message(session, user)

        user = await self._stores.users.update_with(old.user_id, add_writes, **changes)
        await self.show_in_room(user.user_id)
        return replace(user, **shown)

    async def apply(self, item: Item, confirm: Confirm) -> None:
        """Show the approved value, or again the value shown before a refusal."""

        async def add_writes(session: Session, user: User) -> None:
            await confirm(session)
            await self._add_message(session, user)

        changes = {FIELDS[item.kind]: item.value_to_show}
        await self._stores.users.update_with(item.user_id, add_writes, **changes)
        await self.show_in_room(item.user_id)

    async def _add_message(self, session: Session, user: User) -> None:
        payload = {"user_id": user.user_id}
        await self._stores.outbox.add("portrait_set", payload, session, key=user.user_id)

    async def show_in_room(self, user_id: str) -> None:
        """Show a user's profile in their room; no event if the room shows it already.

        Reads the profile after the room has been loaded, so that the latest one wins.
        """

        async def read(_user_ids: Sequence[str]) -> Person:
            return (await self._stores.users.get(user_id)).person()

        if membership := await self._stores.members.get(user_id):
            await self._room_changes.change_with(
                membership.live_id, BatchData(read), user_id, Room.update_profile, user_id
            )
            self._hub.mark_audience_changed(membership.live_id)
