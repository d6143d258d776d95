"""The plan of a storm: which trouble comes when, for how long; the same seed, the same plan."""

import random
from dataclasses import dataclass

CALM = {"kill": (0.5, 4.0), "deploy": (0.0, 1.0), "freeze": (0.5, 5.0)}
"""Kinds of trouble with their shortest and longest duration in seconds, by track."""
TRACKS: dict[str, dict[str, tuple[float, float]]] = {
    "server": CALM,
    "phones": {
        "reset": (0.0, 0.1),
        "half_open": (1.0, 5.0),
        "slow": (2.0, 6.0),
        "lossy": (2.0, 6.0),
        "refuse": (1.0, 4.0),
        "hold": (1.0, 5.0),
    },
    "redis": {
        "kill": (0.5, 8.0),
        "freeze": (1.0, 8.0),
        "half_open": (2.0, 8.0),
        "lossy": (2.0, 6.0),
        "slow": (2.0, 6.0),
        "reset": (0.0, 0.1),
    },
    "mongodb": {
        "freeze": (0.5, 6.0),
        "kill": (0.2, 3.0),
        "reset": (0.0, 0.1),
        "half_open": (1.0, 5.0),
        "lossy": (1.0, 5.0),
        "slow": (1.0, 4.0),
    },
}
GAPS = {"server": (2.0, 8.0), "phones": (1.0, 5.0), "redis": (4.0, 12.0), "mongodb": (8.0, 20.0)}
"""Seconds of peace between two troubles of a track."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that begins `at` seconds into the storm and is over after `lasting`."""

    at: float
    lasting: float
    track: str
    kind: str
    node: int


def make(
    seed: int, seconds: float, nodes: int, tracks: tuple[str, ...] = (*TRACKS,)
) -> list[Trouble]:
    """In the order of their beginning. Troubles of one track never overlap, those of two may."""
    chance = random.Random(seed)
    plan: list[Trouble] = []
    for track in tracks:
        at = chance.uniform(0.5, GAPS[track][1])
        while True:
            kind = chance.choice([*TRACKS[track]])
            lasting = chance.uniform(*TRACKS[track][kind])
            if at + lasting > seconds:
                break
            trouble = Trouble(round(at, 2), round(lasting, 2), track, kind, chance.randrange(nodes))
            plan.append(trouble)
            at += lasting + chance.uniform(*GAPS[track])
    return sorted(plan, key=lambda trouble: trouble.at)
