"""Crash steps of a path, exit plans for child servers, and their exit reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Moment = Literal["before", "during", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "during", "after")
ExitMoment = Moment | Literal["end", ""]
"""When a server exited: "end" is the end of the path; "" if it did not report."""
WHOLE_PATH = -1
MARK = "X-Crash-Here"
"""Header of the request on which the server crashes."""
READS = frozenset({"find", "aggregate", "distinct", "count", "getMore", "get"})
"""First words of the names of calls that change nothing."""


class Call(NamedTuple):
    """A call of a path (MongoDB command, HTTP request or response) and its duration."""

    name: str
    seconds: float = 0.0

    @property
    def is_lasting(self) -> bool:
        """Whether it leaves something behind: a write, a commit, a request, a response.

        So does any call whose name is not known. Other commands of a transaction, marked with *,
        leave nothing if it is not committed.
        """
        command = self.name.partition(" ")[0]
        if self.name.endswith(" *"):
            return command == "commitTransaction"
        return command not in READS


class CrashStep(NamedTuple):
    """Before a call of a path, at a random time during it, or after its response."""

    path: str
    number: int
    """Index of the call on its path."""
    moment: Moment
    call: Call

    def __str__(self) -> str:
        return f"{self.path} {self.number:02} {self.moment} {self.call.name}"


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """The step at which a server exits while it processes `target`.

    Without a path, the server lives until it is killed.
    """

    path: str = ""
    target: str = ""
    number: int = WHOLE_PATH
    """Index of the call; WHOLE_PATH: it completes the path first."""
    moment: Moment = "before"
    delay: float = 0.0
    """Seconds since the start of the call, for `during`."""


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a server exited: its own report, and the exit status from the kernel."""

    at: ExitMoment = ""
    number: int = WHOLE_PATH
    in_flight: bool = False
    """The call had no response yet."""
    calls: tuple[Call, ...] = ()
    """All calls of its path up to then."""
    status: int | None = 0

    def is_at(self, step: CrashStep) -> bool:
        return (self.number, self.at) == (step.number, step.moment)


def steps_of(path: str, calls: Sequence[Call]) -> list[CrashStep]:
    """Three steps for each lasting call; a kill before or after another one leaves the same."""
    return [
        CrashStep(path, number, moment, call)
        for number, call in enumerate(calls)
        for moment in (MOMENTS if call.is_lasting else ("during",))
    ]
