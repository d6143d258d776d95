"""Notices of lives: how many a user has agreed to receive, and whether one is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Self, TypedDict

from core.clock import day_of

SIX_HOURS_MS = 6 * 3600 * 1000
"""A user receives at most one notice of a host in this time."""
SEEN_EVENTS = 16
"""Events of WeChat that are remembered: it repeats one up to three times, within seconds."""


class NotDue(Exception):
    """The user receives no notice now."""


class HostNotice(TypedDict):
    """The last notice of a host; "" as outcome until WeChat has reported one."""

    at: int
    msg_id: str
    outcome: Literal["", "sent", "cleared"]


@dataclass(frozen=True, slots=True)
class Consent:
    """Agreements of a user to messages of one template; `id` names both."""

    id: str
    user_id: str
    count: int = 0
    """Messages that may still be sent: WeChat does not tell this number."""
    refused_at: int = 0
    """CreateTime (s) of the last event by which the user refused."""
    seen: Sequence[str] = ()
    """The last SEEN_EVENTS agreements, which do not count again."""
    day: str = ""
    """Day in China of the last notice."""
    day_count: int = 0
    """Notices on this day."""
    hosts: Mapping[str, HostNotice] = field(default_factory=dict)
    """Notices of the last six hours, by host."""
    version: int = 0

    def note_event(self, event_id: str, at: int, *, accepted: bool) -> Self:
        """Count an agreement, or clear all of them; `at` is WeChat's time of the event (s).

        Only an event that is later than the last refusal has an effect, and each has it once.
        """
        if at <= self.refused_at:
            return self
        if not accepted:
            return replace(self.clear(), refused_at=at)
        if event_id in self.seen:
            return self
        seen = (*self.seen, event_id)[-SEEN_EVENTS:]
        return replace(self, count=self.count + 1, seen=seen)

    def take(self, host_id: str, now: int, user_day: int) -> Self:
        """Take an agreement for a notice of this host. Raises NotDue if no notice is due.

        `now` in ms; `user_day` is the most that a user receives on a day in China.
        """
        hosts = {id_: row for id_, row in self.hosts.items() if row["at"] > now - SIX_HOURS_MS}
        day = str(day_of(datetime.fromtimestamp(now / 1000, UTC)))
        day_count = self.day_count if day == self.day else 0
        if not self.count or host_id in hosts or day_count >= user_day:
            raise NotDue
        hosts[host_id] = HostNotice(at=now, msg_id="", outcome="")
        return replace(self, count=self.count - 1, day=day, day_count=day_count + 1, hosts=hosts)

    def give_back(self, host_id: str) -> Self:
        """Return the agreement of a notice that was not sent, unless all were cleared since."""
        taken = self.hosts.get(host_id)
        if not taken or taken["msg_id"]:
            return self
        hosts = {id_: row for id_, row in self.hosts.items() if id_ != host_id}
        count = self.count + (not taken["outcome"])
        return replace(self, count=count, day_count=self.day_count - 1, hosts=hosts)

    def clear(self) -> Self:
        """Forget all agreements, also those that are taken and might be returned."""
        hosts = {
            id_: HostNotice(at=row["at"], msg_id=row["msg_id"], outcome=row["outcome"] or "cleared")
            for id_, row in self.hosts.items()
        }
        return replace(self, count=0, hosts=hosts)

    def note_sent(self, host_id: str, msg_id: str) -> Self:
        """Note WeChat's number of the message, by which its event names it."""
        if host_id not in self.hosts:
            return self
        row = HostNotice(at=self.hosts[host_id]["at"], msg_id=msg_id, outcome="")
        return replace(self, hosts={**self.hosts, host_id: row})

    def note_delivered(self, msg_id: str) -> Self:
        """Note that a message was delivered."""
        for host_id, row in self.hosts.items():
            if row["msg_id"] == msg_id:
                delivered = HostNotice(at=row["at"], msg_id=msg_id, outcome="sent")
                return replace(self, hosts={**self.hosts, host_id: delivered})
        return self
