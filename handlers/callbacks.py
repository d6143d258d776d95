"""Where Tencent reports: IM, who came and went; CSS, which stream began or ended."""

import re
import time
from urllib.parse import urlencode

from pydantic import ConfigDict
from pydantic.alias_generators import to_pascal

from handlers.answers import Answer
from handlers.base import call
from handlers.callback import DONE, Callback, Settled, ignored
from storage.inbox import Note
from tencent.callbacks import (
    Event,
    GroupMembers,
    Heard,
    StateChange,
    StreamEvent,
    from_im,
    from_live,
)

NOBODYS = ("not_in_a_room", "not_the_current_stream")
OURS = re.compile(r"[0-9]{8}_[0-9a-f]{24}")
"""The names that tencent/live.py gives."""


class ImHeard(Answer):
    """As IM writes it; anything else counts as a failure."""

    model_config = ConfigDict(alias_generator=to_pascal)

    action_status: str = "OK"
    error_info: str = ""
    error_code: int = 0


class LiveHeard(Answer):
    code: int = 0


class FromTencent(Callback):
    """Who came and went, which stream began or ended."""

    async def hear(self, source: str, heard: Heard) -> None:
        """CallbackRefused."""
        unsigned = {name: value for name, value in self.query.items() if name != "Sign"}
        note = Note(source, heard.id, urlencode(unsigned), self.body.decode(errors="replace"))

        async def carry_out() -> Settled:
            word = heard.ignored or await self._carry_out(heard.event)
            return DONE if word == DONE.outcome else ignored(word)

        await self.take(note, heard.refused, carry_out)

    async def _carry_out(self, event: Event | None) -> str:
        """ "done", or the reason why there was nothing to do."""
        presence = self.parts.presence
        match event:
            case StateChange(user_id, online, at_ms):
                return await presence.heard_state(user_id, online=online, at_ms=at_ms)
            case GroupMembers():
                return await self._carry_out_for_all(event)
            case StreamEvent(stream, on, sequence, at):
                word = await presence.heard_stream(stream, on=on, sequence=sequence, at_s=at)
                if on and word in NOBODYS:
                    await self._drop(stream)
                return word
        return "no_event"

    async def _drop(self, stream: str) -> None:
        """Somebody pushes with the address of a seat that is no longer theirs: it is signed for a
        day, and a cut alone does not keep them from pushing again."""
        if self.parts.rooms.drops_streams and OURS.fullmatch(stream):
            await self.parts.errand_store.add("drop_stream", {"stream": stream})
            self.parts.drops.nudge()

    async def _carry_out_for_all(self, event: GroupMembers) -> str:
        words = [
            await self.parts.presence.heard_state(
                user_id, online=event.online, at_ms=event.at_ms, group_id=event.group_id
            )
            for user_id in event.user_ids
        ]
        return DONE.outcome if DONE.outcome in words else next(iter(words), "nobody")


class ImCallback(FromTencent):
    """The address to enter in the console of IM; https, with authentication on."""

    @call
    async def post(self) -> ImHeard:
        im = self.parts.settings.im
        now = time.time()
        await self.hear("im", from_im(self.query, self.body, im.callback_token, im.sdk_app_id, now))
        return ImHeard()


class LiveCallback(FromTencent):
    """The address to enter in a callback template of CSS, for pushes and their ends."""

    @call
    async def post(self) -> LiveHeard:
        key = self.parts.settings.live.callback_key
        await self.hear("live", from_live(self.body, key, time.time()))
        return LiveHeard()
