"""The moderation queue of a server in the test's process, with time in the test's hands."""

from datetime import UTC, datetime
from typing import Any

from rooms.moderation import Item
from runtime.process import ServerProcess
from storage.accounts.users import User
from tests.support.storage import events_told

HIDDEN = dict.fromkeys(("nickname", "room_name", "face", "cover"), "hide_until_checked")
SHOWN = dict.fromkeys(HIDDEN, "show_until_refused")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class ModerationFixture:
    """`step` takes the next steps of all open items as if their time had come."""

    def __init__(self, server: ServerProcess, db: Any) -> None:
        self.context = server.context
        self.service = server.context.services.decisions
        self.proposals = server.context.services.moderation.proposals
        self.items = server.context.stores.moderation
        self.checks = server.simulator.content_checks
        self.delivery = server.simulator.delivery
        self.pushes = server.simulator.pushes
        self._rows = db.moderation_items

    async def step(self) -> int:
        """Returns how many items were due."""
        waiting = {"due_at": {"$ne": None}}
        due: int = self._rows.update_many(waiting, {"$set": {"due_at": LONG_AGO}}).matched_count
        await self.service.job.sweep()
        await self.delivery.quiet()
        return due

    async def change(self, user_id: str, **values: str) -> User:
        """Change a profile; `room_name` and `cover` are those of the user's room."""
        services, stores = self.context.services, self.context.stores
        user = await stores.users.get(user_id)
        title, cover = values.pop("room_name", None), values.pop("cover", None)
        if (title, cover) != (None, None):
            live_id, _, _ = await stores.rooms.get_or_create(user.person())
            await services.rooms.lives.update_info(live_id, user, title, cover)
        return await services.accounts.profiles.update(user, **values) if values else user

    async def shown(self, user_id: str) -> dict[str, str]:
        """The values that others see, by kind."""
        user = await self.context.stores.users.get(user_id)
        live_id, _, _ = await self.context.stores.rooms.get_or_create(user.person())
        room = await self.context.room_changes.load(live_id)
        values = {"nickname": user.nickname, "face": user.face_url}
        return values | {"room_name": room.title, "cover": room.cover}

    async def send(self, content: dict[str, Any], mode: str = "once") -> None:
        """Deliver an event about a picture."""
        self.delivery.start(self.pushes.report(content, mode), "once")
        await self.delivery.quiet()

    async def told(self, user_id: str) -> list[dict[str, Any]]:
        """The outcomes in the user channel."""
        events = await events_told(self.context.stores, user_id)
        assert {type_ for type_, _ in events} <= {"checked"}
        return [data for _, data in events]

    async def latest(self, user_id: str, kind: str = "") -> Item:
        page, _ = await self.items.page("", 1, kind=kind, user_id=user_id)
        return page[0]
