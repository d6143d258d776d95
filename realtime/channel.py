"""One room as this process has told it: who listens, and what was said last."""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from realtime.bus import Told
from realtime.codes import Code
from realtime.fanout import Fanout, Pace
from realtime.outbox import Outbox

RECENT = 256


class Channel:
    """Says every event of one life of a room once, in order, to everybody here.

    Before the first socket has seen the room (`epoch` None) what is heard is kept: between
    reading the room and listening no event can fall.
    """

    def __init__(self, live_id: int, pace: Pace) -> None:
        self.live_id = live_id
        self.epoch: str | None = None
        self.told = 0
        self.ended = False
        self.stirred = False
        self.audience = b""
        self.joining = 0
        self.shown_out: Counter[str] = Counter()
        """How often people were shown out while somebody was joining: whoever read the room before
        the last time has read too early."""
        self.newest: dict[str, int] = {}
        """The highest number heard of a person's sockets while somebody was joining."""
        self._pace = pace
        self._fanout = Fanout(pace)
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT)
        self._early: list[Told] = []

    @property
    def sockets(self) -> dict[str, Outbox]:
        return self._fanout.sockets

    @property
    def sent(self) -> int:
        """The last event that everybody here has been handed: a heartbeat names no later one."""
        return self._fanout.sent

    @property
    def idle(self) -> bool:
        return not self.sockets and not self.joining

    def begin(self, epoch: str, version: int) -> None:
        """The room as it was read: what comes after `version` is still to be told."""
        self.epoch, self.told, self.ended = epoch, version, False
        self._fanout.sent = version
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
        self._fanout.send(frame, self.told)

    def add(self, outbox: Outbox) -> None:
        """A socket that has been given everything told so far."""
        self._fanout.add(outbox)

    def dismiss(self, code: Code, retry_ms: Callable[[Outbox], int] | None = None) -> None:
        """Close every socket of the room."""
        self._fanout.dismiss(lambda outbox: outbox.bye(code, retry_ms and retry_ms(outbox)))

    def lose(self, code: Code) -> None:
        """This life cannot be told on: close every socket, and begin anew with the next one."""
        self.dismiss(code)
        self._fanout = Fanout(self._pace)
        self.epoch, self.told = None, 0
        self._recent.clear()

    def show_out(self, user_id: str, code: Code, number: int | None = None) -> None:
        """Close somebody's socket; with a `number`, only if it is not a newer one than that."""
        if self.joining:
            self.shown_out[user_id] += 1
        outbox = self.sockets.get(user_id)
        if outbox and (number is None or outbox.number <= number):
            self._fanout.take_out(user_id)
            outbox.bye(code)

    def close(self, outbox: Outbox, code: Code) -> None:
        """This one socket, not a newer one of the same person."""
        if self.sockets.get(outbox.user_id) is outbox:
            self.show_out(outbox.user_id, code)

    def hear_arrival(self, epoch: str, user_id: str, number: int) -> None:
        """A newer socket of somebody, perhaps on another process, replaces the one here."""
        if self.epoch not in (None, epoch):
            return
        if self.joining:
            self.newest[user_id] = max(number, self.newest.get(user_id, 0))
        outbox = self.sockets.get(user_id)
        if outbox and outbox.number < number:
            del self.sockets[user_id]
            outbox.bye(Code.REPLACED)

    def _say(self, message: Told) -> None:
        self.told = message.seq
        self._recent.append((message.seq, message.frame))
        self._fanout.send(message.frame, message.seq, message.saved_at)
        if message.last:
            self.ended = True
            self.dismiss(Code.ENDED)
