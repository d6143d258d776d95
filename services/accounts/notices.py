"""Notices of lives: subscription messages to followers who agreed to them and are not online."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial

import structlog
from prometheus_client import Counter

from config.settings import Settings
from core.clock import now_ms
from people.notices import Consent, NotDue
from rooms.events import NumberedEvent
from rooms.room import Room
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from storage.accounts.notices import LiveNotices, LiveNoticeStore, consent_id
from storage.accounts.users import User
from storage.jobs.inbox import CallbackOutcome, refused
from storage.stores import Stores
from storage.write_batch import WriteBatch
from tencent.errors import Unreadable
from tencent.message_push import MessagePush
from tencent.notices import (
    NoticeAnswer,
    NoticeClient,
    NoticeEvent,
    notice_values,
    parse_notice_events,
)

log = structlog.get_logger("qlive.notices")

JOB_NAME = "notices"
LEASE_SECONDS = 30.0
"""Lease of a step, which takes about a second; after this its process is presumed dead."""
PAUSE_SECONDS = 30.0
"""Pause while WeChat is away, or takes no message because of a quota."""
LOST_PAUSE_SECONDS = 3.0
"""Pause after an answer is lost while others come: one in a thousand must not halve the rate."""
PAGE_SIZE = 1_000
"""Followers read by one step."""
CATCH_UP_SECONDS = 0.5
"""A shorter delay, such as that of the reads between two steps, is caught up."""


async def notify_followers(
    live_notices: LiveNoticeStore, room: Room, _events: Sequence[NumberedEvent], batch: WriteBatch
) -> None:
    """Have the followers of the host notified of a live that begins, unless it is private."""
    if room.epoch != room.loaded.epoch and room.visibility != "private":
        live = LiveNotices(room.epoch, room.live_id, room.host_id, room.started_at)
        live_notices.add_to(batch, live)


class NoticeService:
    """Records users' agreements to notices, and notifies the followers of a host who goes live.

    One process at a time sends, for about a second, so that the rate is that of the deployment. An
    agreement is taken before its message is sent: after a kill in between it is lost, and none is
    spent twice.
    """

    def __init__(
        self, stores: Stores, client: NoticeClient, settings: Settings, outcomes: Counter
    ) -> None:
        self._stores = stores
        self._consents, self._lives = stores.consents, stores.live_notices
        self._leases = stores.job_leases
        self._client = client
        self._settings, self._moderation = settings.notices, settings.moderation
        self._template_id = settings.notices.template_id
        self._page = settings.links.page
        self._app_id = next(iter(settings.wechat.apps), "")
        """The app of the message push, whose users alone can agree to anything."""
        self._outcomes = outcomes
        self._next_at = 0.0
        self.job = ClaimedJob[LiveNotices](
            JOB_NAME, one_by_one(self._claim), self._run_step, concurrency=1
        )

    async def receive(self, push: MessagePush) -> CallbackOutcome:
        """Process an event of NOTICE_EVENTS; only an encrypted one is signed with its content."""
        if not push.encrypted:
            return refused("plain")
        try:
            events = parse_notice_events(push.content)
        except Unreadable:
            return refused("unreadable")
        openid = str(push.content.get("FromUserName"))
        user = await self._stores.users.by_openid(self._app_id, openid)
        if user is None:
            return CallbackOutcome("ignored", "unknown_user", brief=True)
        for event in events:
            if event.template_id == self._template_id:
                rule = partial(_note, event)
                await self._consents.change(consent_id(user.user_id, self._template_id), rule)
        return CallbackOutcome("done", brief=True)

    # ---- the job

    async def _claim(self) -> LiveNotices | None:
        """Return the live that began last, unless another process is sending."""
        live = await self._lives.latest()
        return live if live and await self._leases.acquire(JOB_NAME, LEASE_SECONDS) else None

    async def _run_step(self, live: LiveNotices) -> None:
        """Notify the next followers of a live."""
        pause = PAUSE_SECONDS
        try:
            pause = await self._notify_next(live)
        finally:
            await self._leases.release(JOB_NAME, pause)

    async def _notify_next(self, live: LiveNotices) -> float:
        """Notify at most `per_second` followers; return for how long the next ones have to wait."""
        room = await self._stores.rooms.read(live.live_id)
        is_live = room and room.live and room.epoch == live.epoch
        if not room or not is_live or room.visibility == "private":
            await self._lives.delete(live.epoch)
            return 0.0
        if not await self._client.is_ready(self._app_id):
            return PAUSE_SECONDS
        user_ids, after = await self._next_followers(live)
        answers = await self._send(room, await self._receivers(room, user_ids))
        outcomes = {answer.outcome: answer for answer in answers}
        if rejected := outcomes.get("rejected"):
            log.error("notices_rejected", live_id=live.live_id, errcode=rejected.errcode)
            await self._lives.delete(live.epoch)
        elif not outcomes.keys().isdisjoint(("lost", "limited")):
            log.warning("notices_paused", live_id=live.live_id, outcomes=[*outcomes])
            # The same followers again: those who got a notice get no second one.
            return LOST_PAUSE_SECONDS if "sent" in outcomes else PAUSE_SECONDS
        elif after:
            await self._lives.advance(live.epoch, after)
        else:
            await self._lives.delete(live.epoch)
        return 0.0

    async def _next_followers(self, live: LiveNotices) -> tuple[list[str], str]:
        """Return followers with an agreement, and the last one that was read, "" at the end."""
        host_id, limit = live.host_id, self._settings.per_second
        page = await self._stores.follows.followers(host_id, live.after, PAGE_SIZE)
        due = await self._consents.due(page, self._template_id, host_id, now_ms())
        if len(due) > limit:
            return due[:limit], due[limit - 1]
        return due, page[-1] if len(page) == PAGE_SIZE else ""

    async def _receivers(self, room: Room, user_ids: Sequence[str]) -> list[User]:
        """Return those of the users who may be notified and have no open socket."""
        if not user_ids:
            return []
        alive = await self._stores.presence.alive_processes()
        members = await self._stores.members.get_many(user_ids)
        online = {member.user_id for member in members if member and member.process in alive}
        serving = await self._stores.user_channels.processes(user_ids)
        online |= {user_id for user_id, processes in serving.items() if processes & alive}
        users, now = await self._stores.users.find_many([*user_ids]), now_ms()
        return [
            user
            for user in users
            if user.user_id not in online
            and not (user.banned or user.deleted_at or room.is_banned(user.user_id, now))
        ]

    async def _send(self, room: Room, users: Iterable[User]) -> list[NoticeAnswer]:
        """Notify users at the rate of the settings, until WeChat does not take a message."""
        answers: list[NoticeAnswer] = []

        async def send(user: User) -> None:
            answers.extend(await self._notify(room, user))

        sending = []
        for user in users:
            await self._wait_for_turn()
            if any(answer.outcome in ("lost", "limited", "rejected") for answer in answers):
                break
            sending.append(asyncio.create_task(send(user)))
        await asyncio.gather(*sending)
        return answers

    async def _wait_for_turn(self) -> None:
        now = time.monotonic()
        turn = self._next_at if now - self._next_at < CATCH_UP_SECONDS else now
        self._next_at = turn + 1 / self._settings.per_second
        await asyncio.sleep(max(0.0, turn - now))

    async def _notify(self, room: Room, user: User) -> list[NoticeAnswer]:
        """Send a notice if one is due, once more with the neutral title if WeChat refuses it."""
        host_id, answers = room.host_id, list[NoticeAnswer]()
        neutral, page = self._settings.neutral_title, f"{self._page}?live_id={room.live_id}"
        change = partial(self._consents.change, consent_id(user.user_id, self._template_id))
        host = _checked(room.owner.person.nickname, self._moderation.nickname) or neutral
        title = _checked(room.title, self._moderation.room_name) or host
        neutral_host = neutral if title == host else host
        for text, name in dict.fromkeys(((title, host), (neutral, neutral_host))):
            if answers:
                await self._wait_for_turn()
            take = partial(Consent.take, host_id=host_id, user_day=self._settings.user_day)
            try:
                await change(partial(take, now=now_ms()))
            except NotDue:
                break
            values = notice_values(self._settings.fields, text, name, room.started_at)
            answer = await self._client.send(user.app_id, user.openid, page, values)
            answers.append(answer)
            self._outcomes.labels(answer.outcome).inc()
            if answer.outcome == "sent":
                await change(partial(Consent.note_sent, host_id=host_id, msg_id=answer.msg_id))
            elif answer.outcome == "no_consent":
                await change(Consent.clear)
            elif answer.outcome != "lost":
                await change(partial(Consent.give_back, host_id=host_id))
            if answer.outcome != "title_refused":
                break
        return answers


def _note(event: NoticeEvent, consent: Consent) -> Consent:
    """Apply an event. A failed delivery is a refusal, also if its answer is lost or not stored."""
    if event.msg_id and event.is_positive:
        return consent.note_delivered(event.msg_id)
    return consent.note_event(event.id, event.at, accepted=event.is_positive)


def _checked(name: str, policy: str) -> str:
    """Return the name if names of its kind are shown only after their check, else ""."""
    return name if policy == "hide_until_checked" else ""
