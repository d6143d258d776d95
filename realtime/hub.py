"""The hub: from a room to the sockets of this process, every event once and in order."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from realtime import frames
from realtime.bus import Arrived, Bus, Message, Revoked, ShownOut, Stirred, Told
from realtime.channel import Channel
from realtime.codes import Code
from realtime.fanout import Pace
from realtime.opening import Look, Opening, Past, Since, fill, told
from realtime.outbox import Outbox
from rooms.events import LAST, Numbered
from rooms.people import Counts
from rooms.presence import Connection, Standing

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Members whose places are compared by one query."""
FILLS = 16
"""Rooms that read side by side what they have missed."""
FindStanding = Callable[[list[str]], Awaitable[dict[str, Standing]]]
"""Where people are, by user_id."""
WhyNot = Callable[[int, str], Awaitable[Code | None]]
"""Why somebody may not listen in a room (live_id, user_id); None when they may."""


class Hub:
    """`tell`, `stir` and `show_out` are the keeper's ears; `arrive`, `join` and `part` the
    sockets'."""

    def __init__(self, past: Past, bus: Bus, pace: Pace | None = None) -> None:
        self._past = past
        self._bus = bus
        self._pace = pace or Pace()
        self._open: set[Outbox] = set()
        self._channels: dict[int, Channel] = {}
        self._filling: dict[int, asyncio.Task[None]] = {}
        self.events_told = 0
        self.hints_filled = 0
        bus.listen(self.hear)

    # ---- what others tell the hub

    def tell(self, live_id: int, events: Sequence[Numbered]) -> None:
        """Encode once, tell every process; never waits, never raises."""
        now = time.time()
        for event in events:
            self._bus.publish(told(live_id, event, now))
            if event.type == LAST:
                log.info(
                    "live_ended", live_id=live_id, reason=event.data.get("reason"), seq=event.seq
                )

    def stir(self, live_id: int) -> None:
        self._bus.publish(Stirred(live_id))

    def show_out(self, live_id: int, user_id: str, number: int, *, barred: bool = False) -> None:
        """Close the socket of somebody who is no longer in this room, up to that number."""
        if barred:
            self._bus.publish(ShownOut(user_id, live_id, Code.PUT_OUT))
        else:
            self._bus.publish(ShownOut(user_id, live_id, Code.NOT_A_MEMBER, number))

    def publish(self, message: Message) -> None:
        """Tell every process, this one included."""
        self._bus.publish(message)

    def hear(self, message: Message) -> None:
        match message:
            case Arrived():
                if channel := self._channels.get(message.live_id):
                    channel.hear_arrival(message.epoch, message.user_id, message.number)
            case Revoked():
                self._hear_revoked(message)
            case Told():
                self._hear_told(message)
            case Stirred():
                if channel := self._channels.get(message.live_id):
                    channel.stirred = True
            case ShownOut():
                self._hear_shown_out(message)

    # ---- sockets

    def arrive(self, outbox: Outbox) -> None:
        """A socket that has opened; it may never join."""
        self._open.add(outbox)

    async def join(
        self,
        live_id: int,
        outbox: Outbox,
        since: Since | None,
        look: Callable[[], Awaitable[Look]],
    ) -> None:
        """Send the room (or what was missed of it) and from then on every event, none between.

        `look` reads the room and refuses those who may not listen. A socket that the same
        person had here is replaced.
        """
        channel = self._channels.get(live_id)
        if channel is None:
            channel = self._channels[live_id] = Channel(live_id, self._pace)
        channel.joining += 1
        try:
            await self._bus.follow(live_id)  # before the reading: nothing falls between the two
            opening = await Opening(channel, self._past, outbox.user_id, since).read(look)
            self._seat(channel, outbox, opening)
        finally:
            channel.joining -= 1
            if not channel.joining:
                channel.shown_out.clear()
                channel.newest.clear()
            self._forget_if_idle(channel)

    def part(self, live_id: int, outbox: Outbox) -> None:
        """This socket is gone; a newer one of the same person stays."""
        self._open.discard(outbox)
        channel = self._channels.get(live_id)
        if channel and channel.sockets.get(outbox.user_id) is outbox:
            del channel.sockets[outbox.user_id]
            self._forget_if_idle(channel)

    @property
    def sockets(self) -> int:
        return sum(len(channel.sockets) for channel in self._channels.values())

    @property
    def open(self) -> int:
        """Sockets whose connection stands: joined, joining or saying goodbye."""
        return len(self._open)

    @property
    def members(self) -> list[tuple[Channel, Outbox]]:
        """Everybody who listens here."""
        return [(c, outbox) for c in self.channels for outbox in c.sockets.values()]

    @property
    def here(self) -> list[Connection]:
        """The sockets of members that stand, joining ones too."""
        return [o.connection for o in self._open if o.connection and not o.closed]

    @property
    def channels(self) -> list[Channel]:
        return list(self._channels.values())

    # ---- the regular rounds

    async def check(self) -> None:
        """Compare every room here with the stored one: a lost hint costs a round, not an event."""
        here = {c.live_id: (c, c.epoch) for c in self.channels if c.epoch is not None}
        if not here:
            return
        behind: list[Channel] = []
        for live_id, (epoch, version) in (await self._past.versions(list(here))).items():
            channel, checked = here[live_id]
            if channel.epoch != checked:
                continue  # it has begun anew meanwhile, from a newer reading than this
            if epoch != checked:
                channel.lose(Code.ENDED)
                self._forget_if_idle(channel)
            elif version > channel.told:
                behind.append(channel)
        for start in range(0, len(behind), FILLS):
            some = behind[start : start + FILLS]
            await asyncio.gather(*(self._try_to_fill(channel) for channel in some))

    async def check_places(
        self, standing: FindStanding, why_not: WhyNot, process: str = ""
    ) -> list[tuple[Channel, Outbox]]:
        """Compare every member here with their stored place: a lost word closes a socket late,
        but it does. Answered are those who are right here, and stand as served by another
        process than this one."""
        members = self.members
        strays: list[tuple[Channel, Outbox]] = []
        for start in range(0, len(members), AT_ONCE):
            some = members[start : start + AT_ONCE]
            places = await standing([outbox.user_id for _, outbox in some])
            for channel, outbox in some:
                place = places.get(outbox.user_id)
                if place and (place.live_id, place.epoch) == (channel.live_id, channel.epoch):
                    if place.number != outbox.number:
                        channel.close(outbox, _overtaken(place, outbox))
                    elif place.process != process:
                        strays.append((channel, outbox))
                elif not outbox.closed:
                    await self._send_out(channel, outbox, why_not)
                self._forget_if_idle(channel)
        return strays

    async def show_audience(
        self, count: Callable[[Iterable[tuple[int, str]]], Awaitable[dict[int, Counts]]]
    ) -> None:
        """Tell rooms where people came or went how many are there now."""
        stirred = {
            c.live_id: c for c in self._channels.values() if c.stirred and c.epoch is not None
        }
        if not stirred:
            return
        for channel in stirred.values():
            channel.stirred = False
        try:
            counts = await count((c.live_id, c.epoch or "") for c in stirred.values())
        except Exception:
            for channel in stirred.values():
                channel.stirred = True  # not told yet
            raise
        for live_id, channel in stirred.items():
            numbers = counts[live_id]
            frame = frames.audience(live_id, numbers.audience, numbers.num_list)
            if frame != channel.audience:
                channel.audience = frame
                channel.send(frame)

    def stir_all(self) -> None:
        """Something may have been missed: count every room again."""
        for channel in self.channels:
            channel.stirred = True

    def cut_late(self, now: float, seconds: float) -> None:
        """Close whoever leaves something unread for so long; there is no use in telling them."""
        for outbox in list(self._open):
            if outbox.late(now, seconds):
                outbox.cut(at_once=True)

    def beat(self, now: float, every: float, silent: float) -> None:
        """Heartbeats to whoever is due; goodbye to whoever was not heard for `silent` seconds."""
        for channel in self.channels:
            frame = frames.heartbeat(channel.sent)
            for outbox in list(channel.sockets.values()):
                if now - outbox.heard_at > silent:
                    del channel.sockets[outbox.user_id]
                    outbox.bye(Code.SILENT)
                elif now >= outbox.next_beat:
                    if outbox.next_beat:  # a socket that has just come knows where it is
                        outbox.beat(frame)
                    outbox.next_beat = now + every * random.uniform(0.8, 1.2)
            self._forget_if_idle(channel)

    def farewell(self, retry_ms: Callable[[str], int]) -> None:
        """Say goodbye to everybody; each (user_id) is told when to come back."""
        joining = self._open - {outbox for _, outbox in self.members}
        for channel in self.channels:
            channel.dismiss(Code.RESTART, lambda outbox: retry_ms(outbox.user_id))
        for outbox in joining:
            outbox.bye(Code.RESTART, retry_ms(outbox.user_id))
        self._channels.clear()

    # ---- the small steps

    def _hear_told(self, message: Told) -> None:
        channel = self._channels.get(message.live_id)
        if channel is None:
            return
        before = channel.told
        if channel.hear(message):
            self.events_told += channel.told > before
        elif channel.epoch == message.epoch and message.live_id not in self._filling:
            task = asyncio.get_running_loop().create_task(self._fill_in_background(channel))
            self._filling[message.live_id] = task
        self._forget_if_idle(channel)

    def _hear_shown_out(self, message: ShownOut) -> None:
        for channel in self.channels:
            if message.live_id in (None, channel.live_id):
                channel.show_out(message.user_id, message.code, message.number)
                self._forget_if_idle(channel)

    def _hear_revoked(self, message: Revoked) -> None:
        for channel, outbox in self.members:
            if outbox.token_id == message.token_id:
                channel.show_out(outbox.user_id, Code.TOKEN)
                self._forget_if_idle(channel)
        for outbox in list(self._open):
            if outbox.token_id == message.token_id:
                outbox.bye(Code.TOKEN)

    async def _send_out(self, channel: Channel, outbox: Outbox, why_not: WhyNot) -> None:
        """Close the socket of somebody without a place here, unless they have come back."""
        code = await why_not(channel.live_id, outbox.user_id)
        if code == Code.ENDED:
            await self._fill(channel)  # they are to hear of the end before the goodbye
        elif code:
            channel.close(outbox, code)

    async def _fill_in_background(self, channel: Channel) -> None:
        """A hint that came meanwhile was refused like the one before it, hence a second look."""
        try:
            while await self._try_to_fill(channel):
                pass
        finally:
            self._filling.pop(channel.live_id, None)

    async def _try_to_fill(self, channel: Channel) -> int:
        """As `_fill`; whatever goes wrong here, the next check will try again."""
        try:
            return await self._fill(channel)
        except Exception as error:  # noqa: BLE001 - a background reading must not die
            log.warning("log_unreadable", live_id=channel.live_id, error=type(error).__name__)
            return 0

    async def _fill(self, channel: Channel) -> int:
        """Tell what this process has not heard; a life that cannot be told on is lost."""
        filled = await fill(channel, self._past)
        self.hints_filled += filled
        channel.stirred = channel.stirred or filled > 0  # with the hint, its stir was lost
        self.events_told += filled
        self._forget_if_idle(channel)
        return filled

    def _seat(self, channel: Channel, outbox: Outbox, opening: Sequence[bytes]) -> None:
        if outbox.closed:
            return
        if channel.ended:
            outbox.bye(Code.ENDED)
            return
        older = channel.sockets.get(outbox.user_id)
        newest = max(channel.newest.get(outbox.user_id, 0), older.number if older else 0)
        if newest > outbox.number:  # it was overtaken on its way in
            outbox.bye(Code.REPLACED)
            return
        if older:
            older.bye(Code.REPLACED)
        channel.add(outbox)
        outbox.begin(b"".join(opening))
        channel.stirred, channel.audience = True, b""  # what it knows of the audience may be old
        arrived = Arrived(channel.live_id, channel.epoch or "", outbox.user_id, outbox.number)
        self._bus.publish(arrived)

    def _forget_if_idle(self, channel: Channel) -> None:
        if channel.idle and self._channels.get(channel.live_id) is channel:
            del self._channels[channel.live_id]
            self._bus.unfollow(channel.live_id)


def _overtaken(place: Standing, outbox: Outbox) -> Code:
    """Why a socket with another number than its place's is to close."""
    is_older = place.number > outbox.number
    # Where the newer one was short-lived, or they have left and come in again, it may come back.
    return Code.REPLACED if is_older and place.process else Code.RESTART
