"""The steps at which a path is cut off, as a walk to its end has shown them."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

Moment = Literal["before", "during", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "during", "after")
At = Moment | Literal["end", ""]
"""Where somebody died: "end" is that of the path; "" when nothing was said."""
END = -1


class Act(NamedTuple):
    """What a path asks of somebody else, and in how many seconds it was answered."""

    name: str
    seconds: float = 0.0


class Step(NamedTuple):
    """Before an act of a path, at any moment while it is under way, or after it is answered."""

    path: str
    number: int
    """Of the act on its path, from 0."""
    moment: Moment
    act: Act

    def __str__(self) -> str:
        return f"{self.path} {self.number:02} {self.moment} {self.act.name}"


@dataclass(frozen=True, slots=True)
class Fate:
    """What a server is born with: the step at which it dies, on its way with `target`.

    Without a path it lives until it is killed.
    """

    path: str = ""
    target: str = ""
    number: int = END
    """Of an act; END: it walks the whole path first."""
    moment: Moment = "before"
    delay: float = 0.0
    """Seconds from the beginning of the act on, for `during`."""

    @classmethod
    def read(cls, line: bytes) -> Self:
        return cls(**json.loads(line))

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Death:
    """How a server died: what it said last, and what the kernel says."""

    at: At = ""
    number: int = END
    under_way: bool = False
    """Whether that act had not been answered yet."""
    acts: tuple[Act, ...] = ()
    """All of its path up to then."""
    status: int = 0

    @classmethod
    def read(cls, said: dict[str, Any]) -> Self:
        acts = tuple(Act(*act) for act in said.pop("acts", ()))
        return cls(acts=acts, **said)

    def is_of(self, step: Step) -> bool:
        return (self.number, self.at) == (step.number, step.moment)


def steps_of(path: str, acts: Sequence[Act]) -> list[Step]:
    return [Step(path, n, moment, act) for n, act in enumerate(acts) for moment in MOMENTS]


def fate_of(step: Step, target: str, chance: random.Random) -> Fate:
    delay = chance.uniform(0.0, step.act.seconds)
    return Fate(step.path, target, step.number, step.moment, delay)


def shuffled(steps: Sequence[Step], times: int, chance: random.Random) -> list[Step]:
    """Every step so many times: whatever one leaves behind, others come after it."""
    plan = [step for step in steps for _ in range(times)]
    chance.shuffle(plan)
    return plan
