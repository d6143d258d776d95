"""Checks every frame that a client receives against the delivery guarantee."""

from chaos.report import Violations
from chaos.timeline import Frame, Timelines
from people.user_events import USER_LOG_SIZE
from realtime.frames import Key
from rooms.events import LOG_SIZE
from tests.support.room_screen import Screen

UNNUMBERED = frozenset(("audience", "balance", "where", "pong"))


class EventChecker:
    """Checks one client's frames of one room, or of its user channel.

    That is across all its connections.
    """

    def __init__(
        self,
        name: str,
        key: Key,
        timelines: Timelines,
        violations: Violations,
        *,
        builds_view: bool = False,
    ) -> None:
        """`builds_view`: apply all events to a view of the room."""
        self.name, self.key = name, key
        self.is_own = isinstance(key, str)
        self.timelines, self.violations = timelines, violations
        self.epoch, self.seq = "", -1
        self.opened = False
        """The first frame of this connection was received."""
        self.must_resume = False
        """An event is missing: reconnect with `since`."""
        self.pending_replay = 0
        """Replayed frames announced by `resumed` and not received yet."""
        self.deliveries = self.resumed = self.snapshots = self.resets = 0
        self.builds_view = builds_view
        self.view: Screen | None = None

    def on_connect(self) -> None:
        self.opened, self.must_resume, self.pending_replay = False, False, 0

    def on_frame(self, frame: Frame) -> None:
        """Check a frame of any type but bye, which is not about the room."""
        kind = frame["type"]
        if not self.opened:
            self._on_first_frame(kind, frame)
        elif kind == "heartbeat":
            if frame["own_seq" if self.is_own else "seq"] > self.seq:
                self._on_missing_events("behind", frame)
        elif kind == "snapshot" and frame.get("reset") == "too_old":
            self._on_snapshot(frame)  # the server itself missed more than the log has
        elif kind in ("snapshot", "resumed"):
            self._report("second_first_frame", frame)
        elif kind not in UNNUMBERED:
            self._on_event(frame)

    # ---- the first frame

    def _on_first_frame(self, kind: str, frame: Frame) -> None:
        self.opened = True
        if kind == "snapshot":
            self._on_snapshot(frame)
        elif kind == "resumed":
            self.resumed += 1
            if frame["epoch"] != self.epoch or frame["seq"] != self.seq + frame["replayed"]:
                self._report("wrong_resume", frame)
            self.pending_replay = frame["replayed"]
        else:
            self._report("wrong_first_frame", frame)
            self.must_resume = True

    def _on_snapshot(self, frame: Frame) -> None:
        self.snapshots += 1
        if self.seq >= 0:
            self.resets += 1
            same_epoch, missed = frame["epoch"] == self.epoch, frame["seq"] - self.seq
            log_size = USER_LOG_SIZE if self.is_own else LOG_SIZE
            valid = {"epoch": not same_epoch, "too_old": same_epoch and missed > log_size}
            if not valid.get(frame.get("reset", ""), False):  # it could have got the events
                self._report("unnecessary_snapshot", frame)
        self.epoch, self.seq, self.pending_replay = frame["epoch"], frame["seq"], 0
        timeline = self.timelines.of(self.key, self.epoch)
        timeline.first_seq = min(timeline.first_seq, self.seq)
        if self.builds_view:
            self.view = Screen(frame)

    # ---- numbered events

    def _on_event(self, frame: Frame) -> None:
        seq = frame["seq"]
        if frame["epoch"] != self.epoch:
            self._report("wrong_epoch", frame)
        elif seq > self.seq + 1:
            self._on_missing_events("gap", frame)
        elif seq <= self.seq:
            self._report("duplicate" if seq == self.seq else "out_of_order", frame)
        else:
            self._on_next_event(frame)

    def _on_next_event(self, frame: Frame) -> None:
        self.seq += 1
        self.deliveries += 1
        if self.pending_replay:
            self.pending_replay -= 1
        if not self.timelines.of(self.key, self.epoch).accepts(frame):
            self._report("conflicting_event", frame)
        if self.view:
            try:
                self.view.apply(frame)
            except Exception as error:  # noqa: BLE001 - any error means that it does not apply
                self.violations.add("not_applicable", f"{self.name}: {error!r} at {frame}")
                self.builds_view, self.view = False, None

    def _on_missing_events(self, kind: str, frame: Frame) -> None:
        self.must_resume = True
        self._report(kind, frame)

    def _report(self, kind: str, frame: Frame) -> None:
        header = {name: value for name, value in frame.items() if name != "data"}
        self.violations.add(kind, f"{self.name} at {self.epoch}/{self.seq} received {header}")
