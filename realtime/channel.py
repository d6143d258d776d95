"""One room as this process has told it: who listens, and what was said last."""

from collections import deque
from collections.abc import Iterable

from realtime.bus import Told
from realtime.codes import Code
from realtime.outbox import Outbox

RECENT = 256


class Channel:
    """Says every event of one life of a room once, in order, to everybody here.

    Before the first socket has seen the room (`epoch` None) what is heard is kept: between
    reading the room and listening no event can fall.
    """

    def __init__(self, live_id: int) -> None:
        self.live_id = live_id
        self.epoch: str | None = None
        self.told = 0
        self.ended = False
        self.stirred = False
        self.audience = b""
        self.joining = 0
        self.shown_out: dict[str, Code] = {}
        """Who was shown out while somebody was joining: their reading of the room is too old."""
        self.sockets: dict[str, Outbox] = {}
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT)
        self._early: list[Told] = []

    @property
    def idle(self) -> bool:
        return not self.sockets and not self.joining

    def begin(self, epoch: str, version: int) -> None:
        """The room as it was read: what comes after `version` is still to be told."""
        self.epoch, self.told, self.ended = epoch, version, False
        self.audience = b""
        self._recent.clear()
        early, self._early = self._early, []
        self.hear_all(early)

    def hear_all(self, messages: Iterable[Told]) -> None:
        for message in messages:
            self.hear(message)

    def hear(self, message: Told) -> bool:
        """Tell what is next, drop what was told; False when something before it is missing."""
        if self.epoch is None:
            self._early.append(message)
            return True
        if message.epoch != self.epoch:
            return False
        if message.seq <= self.told:
            return True
        if message.seq > self.told + 1:
            return False
        self._say(message)
        return True

    def since(self, seq: int) -> list[bytes] | None:
        """The frames after `seq` up to the last told; None when some are no longer here."""
        if seq == self.told:
            return []
        kept = [frame for n, frame in self._recent if n > seq]
        return kept if 0 <= self.told - seq == len(kept) else None

    def send(self, frame: bytes) -> None:
        for outbox in list(self.sockets.values()):
            outbox.send(frame)

    def dismiss(self, code: Code) -> None:
        """Close every socket of the room."""
        outboxes, self.sockets = list(self.sockets.values()), {}
        for outbox in outboxes:
            outbox.bye(code)

    def lose(self, code: Code) -> None:
        """This life cannot be told on: close every socket, and begin anew with the next one."""
        self.dismiss(code)
        self.epoch, self.told = None, 0
        self._recent.clear()

    def show_out(self, user_id: str, code: Code) -> None:
        if self.joining:
            self.shown_out[user_id] = code
        if outbox := self.sockets.pop(user_id, None):
            outbox.bye(code)

    def _say(self, message: Told) -> None:
        self.told = message.seq
        self._recent.append((message.seq, message.frame))
        self.send(message.frame)
        if message.last:
            self.ended = True
            self.dismiss(Code.ENDED)
