"""One state machine for all that is checked before others see it, and for what people decide.

    unchecked → checking → review → approved | refused
                         ↘ superseded

A text is checked at once, so it is never `checking`; reports and streams are born in `review`. An
item with a `due_at` has to be carried on then: to be checked, to be asked for, or to be applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from core.retry import MODERATION

Kind = Literal["nickname", "room_name", "face", "cover", "report", "stream"]
State = Literal["unchecked", "checking", "review", "approved", "refused", "superseded"]
Suggestion = Literal["pass", "review", "risky"]

FIELDS: Mapping[Kind, str] = {
    "nickname": "nickname",
    "room_name": "room_name",
    "face": "face_url",
    "cover": "room_image",
}
"""Kinds of content, each with the parameter of the API that proposes it. A user has at most one
open item of each: a newer proposal supersedes the older one."""
TEXTS: tuple[Kind, ...] = ("nickname", "room_name")
"""Kinds that are checked within the request; the others are pictures."""
OPEN_STATES: tuple[State, ...] = ("unchecked", "checking", "review")
CHECK = "check"
"""`decided_by` of what the check or the list of words decided, not an operator."""
ANSWER_WITHIN = timedelta(minutes=30)
"""Time in which WeChat reports the result for a picture."""
MAX_TRIES = 30
"""Failed tries after which a person decides; with the pauses between them about 50 minutes."""
MISSING_RESULT = MAX_TRIES // 2
"""Tries for which a missing result counts: a picture is sent once more, then a person decides."""
APPLY_WITHIN = timedelta(minutes=1)
"""A decision is applied at once, and by the job if it is not confirmed within this time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check; `label` is WeChat's class of the content."""

    suggestion: Suggestion
    label: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A proposed value, or a report about a user or a stream; times are UTC."""

    id: str
    kind: Kind
    user_id: str
    """The user whose content or conduct is judged."""
    created_at: datetime
    live_id: int = 0
    value: str = ""
    """The proposed text or address of a picture."""
    before: str = ""
    """The checked value that others saw before."""
    shown: bool = False
    """Others see the value until it is refused."""
    state: State = "unchecked"
    trace_id: str = ""
    """WeChat's number of the check."""
    tries: int = 0
    due_at: datetime | None = None
    label: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    decided_at: datetime | None = None
    decided_by: str = ""
    decision: str = ""
    """The reason that an operator has given."""
    version: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_allowed(self) -> bool:
        """Whether an operator has approved the text, so that it needs no further check.

        In place of a refused picture, which is deleted, another one may have been uploaded.
        """
        return self.state == "approved" and self.decided_by != CHECK and self.kind in TEXTS

    def may_be_decided(self, *, approved: bool) -> bool:
        """Return whether an operator may decide it so.

        They may while it is open, or to undo a value's refusal.
        """
        return self.is_open or (approved and self.state == "refused" and self.kind in FIELDS)

    @property
    def must_apply(self) -> bool:
        """Whether the decision has yet to change what others see."""
        return self.due_at is not None and self.state in ("approved", "refused")

    @property
    def outcome(self) -> Literal["shown", "refused"] | None:
        """The result for its owner; None until a decision has been made and applied."""
        if self.must_apply or self.state not in ("approved", "refused"):
            return None
        return "shown" if self.state == "approved" else "refused"

    @property
    def value_to_show(self) -> str | None:
        """The value that others see by the item's state; None if it leaves what they see."""
        if self.state == "approved" or (self.shown and self.is_open):
            return self.value
        return self.before if self.shown and self.state == "refused" else None

    def note_verdict(self, verdict: Verdict, now: datetime) -> Self:
        """Return the item after the verdict of its check."""
        if verdict.suggestion == "review":
            noted = replace(self, state="review", due_at=None)
        else:
            noted = self.decide(CHECK, "", now, approved=verdict.suggestion == "pass")
        return replace(noted, label=verdict.label, trace_id=verdict.trace_id or self.trace_id)

    def note_sent(self, trace_id: str, now: datetime) -> Self:
        """Return the item whose picture was sent; WeChat will report the result."""
        return replace(self, state="checking", trace_id=trace_id, due_at=now + ANSWER_WITHIN)

    def note_failure(self, now: datetime) -> Self:
        """Return the item after a check without an answer, to be tried again later.

        A picture that was sent could not be read, or its result has not come in time.
        """
        tries = self.tries + (MISSING_RESULT if self.state == "checking" else 1)
        if tries >= MAX_TRIES:
            return replace(self, state="review", tries=tries, due_at=None)
        return replace(self, state="unchecked", tries=tries, due_at=now + MODERATION.after(tries))

    def decide(self, by: str, reason: str, now: datetime, *, approved: bool) -> Self:
        """Decide whether others may see it; `by` is CHECK or an operator.

        An undone refusal changes nothing that is shown: its owner may have chosen another value.
        """
        changes_what_is_shown = self.is_open and self.shown != approved
        return replace(
            self,
            state="approved" if approved else "refused",
            decided_by=by,
            decision=reason,
            decided_at=now,
            due_at=now + APPLY_WITHIN if changes_what_is_shown else None,
        )

    def supersede(self, now: datetime) -> Self:
        """Close the item in favour of another value.

        Its owner has proposed that value, or chosen one that needs no check.
        """
        return replace(self, state="superseded", due_at=None, decided_at=now)

    def note_applied(self) -> Self:
        return replace(self, due_at=None)
