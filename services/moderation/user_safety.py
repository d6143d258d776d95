"""Blocks and reports between users, and the limits of users of high risk."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from config.sections import ModerationSettings
from core.clock import day_of
from rooms.errors import RoomNotFound
from rooms.events import NumberedEvent, without_access
from rooms.moderation import Item
from services.errors import Blocked, HighRisk
from storage.accounts.users import User
from storage.moderation import item_id_of
from storage.stores import Stores
from tencent.errors import ServiceUnavailable
from tencent.wechat import ContentSecurityClient

ReportReason = Literal["sexual", "abuse", "fraud", "minor", "advert", "other"]
EVIDENCE = 50
"""The newest lines and events of a room that are kept with a report."""


@dataclass
class UserSafetyService:
    """Blocks, reports and the rank of risk; the answers never say who has blocked whom."""

    _stores: Stores
    _client: ContentSecurityClient
    _settings: ModerationSettings

    # ---- what a user may not do

    async def rank(self, user: User, client_ip: str) -> None:
        """Store WeChat's rank of a user who signs in; the last one holds if WeChat has none."""
        if self._settings.risk_rank_high:
            with suppress(ServiceUnavailable):
                rank = await self._client.risk_rank(user.app_id, user.openid, client_ip)
                await self._stores.users.update(user.user_id, risk_rank=rank)

    def check_rank(self, user: User) -> None:
        """Check the user's rank. Raises HighRisk for a user who may only watch."""
        if 0 < self._settings.risk_rank_high <= user.risk_rank:
            raise HighRisk

    async def check_pair(self, user: User, other_id: str) -> None:
        """Raise Blocked if one has blocked the other. Reads nothing for a user without blocks."""
        if user.has_blocks and await self._stores.user_blocks.are_apart(user.user_id, other_id):
            raise Blocked

    # ---- reports

    async def report(
        self, reporter: User, user_id: str, live_id: int | None, reason: ReportReason, text: str
    ) -> None:
        """Queue a report for operators, one for a pair and day in China; later ones are dropped.

        Raises UserNotFound or RoomNotFound.
        """
        now = datetime.now(UTC)
        user = await self._stores.users.get(user_id)
        evidence = {"reporter": reporter.user_id, "text": text, **user.person().public_profile()}
        if live_id:
            evidence |= await self._evidence_of_room(live_id, (reporter.user_id, user_id))
        # Webhooks have the id: without the openid, trying all user ids would find the reporter.
        id_ = item_id_of("report", reporter.user_id, reporter.openid, user_id, day_of(now))
        item = Item(id_, "report", user_id, now, live_id or 0, state="review", label=reason)
        await self._stores.moderation.add(replace(item, evidence=evidence))

    async def _evidence_of_room(self, live_id: int, user_ids: Sequence[str]) -> dict[str, Any]:
        """Return the lines that both wrote in the room, and the events about either.

        The evidence of a private live lets nobody watch it.
        """
        room = await self._stores.rooms.read(live_id)
        if room is None:
            raise RoomNotFound
        since = max(0, room.version - EVIDENCE)
        events = await self._stores.rooms.log_since(live_id, room.epoch, since) or ()
        lines = await self._stores.chat_lines.last_lines(live_id, user_ids)
        return {
            "room_name": room.name,
            "room_image": room.image,
            "lines": [line._asdict() for line in lines[-EVIDENCE:]],
            "events": [
                {"type": event.type, "at": event.ts, "data": without_access(event.data)}
                for event in events
                if _is_about(event, user_ids)
            ],
        }


def _is_about(event: NumberedEvent, user_ids: Sequence[str]) -> bool:
    faces = [event.data, *(event.data.get(name, {}) for name in ("from", "to", "by"))]
    return any(face.get("user_id") in user_ids for face in faces)
