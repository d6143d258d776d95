"""Seeded plan of the faults of a storm: the same seed gives the same plan."""

import random
from dataclasses import dataclass

SERVER_FAULTS = {"kill": (0.5, 4.0), "deploy": (0.0, 1.0), "freeze": (0.5, 5.0)}
TRACKS: dict[str, dict[str, tuple[float, float]]] = {
    "server": SERVER_FAULTS,
    "clients": {
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
"""Kinds of faults with their minimum and maximum duration in seconds, by track."""
GAPS = {"server": (2.0, 8.0), "clients": (1.0, 5.0), "redis": (4.0, 12.0), "mongodb": (8.0, 20.0)}
"""Minimum and maximum seconds between two faults of a track."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that starts `at` seconds into the storm and lasts `duration` seconds."""

    at: float
    duration: float
    track: str
    kind: str
    node: int


def make_plan(
    seed: int, seconds: float, nodes: int, tracks: tuple[str, ...] = (*TRACKS,)
) -> list[Fault]:
    """Plan faults, sorted by start; those of one track never overlap, those of two may."""
    rng = random.Random(seed)
    plan: list[Fault] = []
    for track in tracks:
        at = rng.uniform(0.5, GAPS[track][1])
        while True:
            kind = rng.choice([*TRACKS[track]])
            duration = rng.uniform(*TRACKS[track][kind])
            if at + duration > seconds:
                break
            fault = Fault(round(at, 2), round(duration, 2), track, kind, rng.randrange(nodes))
            plan.append(fault)
            at += duration + rng.uniform(*GAPS[track])
    return sorted(plan, key=lambda fault: fault.at)
