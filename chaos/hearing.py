"""What one client hears of one room, checked frame by frame against the promise."""

from chaos.story import Faults, Frame, Stories
from tests.realtime.folding import Screen

LOG = 256
"""The events that a room keeps: who has missed more gets a snapshot."""
PASSING = frozenset(("audience", "pong"))


class Hearing:
    """Survives the connections; `begin` tells that there is a new one."""

    __slots__ = (
        "behind",
        "deliveries",
        "epoch",
        "faults",
        "live_id",
        "name",
        "opened",
        "picture",
        "resets",
        "resumed",
        "seq",
        "snapshots",
        "stories",
        "to_replay",
    )  # fmt: skip

    def __init__(
        self, name: str, live_id: int, stories: Stories, faults: Faults, *, folds: bool = False
    ) -> None:
        self.name, self.live_id = name, live_id
        self.stories, self.faults = stories, faults
        self.epoch, self.seq = "", -1
        self.opened = False
        self.behind = False
        """Something is missing: come back with since."""
        self.to_replay = 0
        """Frames announced by `resumed` that have not come yet."""
        self.deliveries = self.resumed = self.snapshots = self.resets = 0
        self.picture: Screen | bool = folds
        """The room as the frames show it, for those who fold them."""

    def begin(self) -> None:
        self.opened, self.behind, self.to_replay = False, False, 0

    def hear(self, frame: Frame) -> None:
        """Everything but the bye, which is not about the room."""
        kind = frame["type"]
        if not self.opened:
            self._open(kind, frame)
        elif kind == "heartbeat":
            if frame["seq"] > self.seq:
                self._missed("behind", frame)
        elif kind in ("snapshot", "resumed"):
            self._wrong("opened_twice", frame)
        elif kind not in PASSING:
            self._number(frame)

    # ---- the first frame

    def _open(self, kind: str, frame: Frame) -> None:
        self.opened = True
        if kind == "snapshot":
            self._show(frame)
        elif kind == "resumed":
            self._resume(frame)
        else:
            self._wrong("first_frame", frame)
            self.behind = True

    def _show(self, frame: Frame) -> None:
        self.snapshots += 1
        same = frame["epoch"] == self.epoch
        if self.seq >= 0:
            self.resets += 1
            self._check_reset(frame, same=same)
        self.epoch, self.seq = frame["epoch"], frame["seq"]
        story = self.stories.of(self.live_id, self.epoch)
        story.begins = min(story.begins, self.seq)
        if self.picture:
            self.picture = Screen(frame)

    def _check_reset(self, frame: Frame, *, same: bool) -> None:
        """A returning client is only given a snapshot where it cannot go on."""
        why, missed = frame.get("reset"), frame["seq"] - self.seq
        fitting = {"epoch": not same, "too_old": same and missed > LOG}
        if not fitting.get(str(why), False):
            self._wrong("needless_snapshot", frame)

    def _resume(self, frame: Frame) -> None:
        self.resumed += 1
        if frame["epoch"] != self.epoch or frame["seq"] != self.seq + frame["replayed"]:
            self._wrong("resumed", frame)
        self.to_replay = frame["replayed"]

    # ---- the numbered ones

    def _number(self, frame: Frame) -> None:
        seq = frame["seq"]
        if frame["epoch"] != self.epoch:
            self._wrong("other_life", frame)
        elif seq > self.seq + 1:
            self._missed("gap", frame)
        elif seq <= self.seq:
            self._wrong("double" if seq == self.seq else "disorder", frame)
        else:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        self.seq += 1
        self.deliveries += 1
        if self.to_replay:
            self.to_replay -= 1
        if not self.stories.of(self.live_id, self.epoch).agrees(frame):
            self._wrong("told_differently", frame)
        if isinstance(self.picture, Screen):
            try:
                self.picture.hear(frame)
            except Exception as error:  # noqa: BLE001 - whatever it was, it does not fold
                self.faults.add("does_not_fold", f"{self.name}: {error!r} at {frame}")
                self.picture = False

    def _missed(self, kind: str, frame: Frame) -> None:
        self.behind = True
        self._wrong(kind, frame)

    def _wrong(self, kind: str, frame: Frame) -> None:
        said = {name: value for name, value in frame.items() if name != "data"}
        self.faults.add(kind, f"{self.name} at {self.epoch}/{self.seq} heard {said}")
