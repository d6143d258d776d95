"""What was seen of the crowds, as tables and plots."""

from collections.abc import Mapping, Sequence

from bench.fanout.crowd import Crowd, Figures
from bench.fanout.servers import ALONE, OURS, TORNADO
from bench.picture import bars
from bench.report import Report, ratios, spread

C, LOOP = "a C loop of send(2) over our sockets: the limit", "a Python loop of `socket.send`"

Runs = dict[str, list[Figures]]


def quiet(report: Report, people: int, found: Runs, events: int) -> None:
    """`events`: how many of each run."""
    limit, ours = _rates(found[C]), _rates(found[OURS])
    rows = []
    for name, runs in found.items():
        mine = _rates(runs)
        rows.append(
            (
                name,
                spread(mine),
                spread(ratios(mine, limit), 2),
                "" if name == OURS else spread(ratios(ours, mine), 2),
                *_waits(runs),
                spread([it.blocked_ms for it in runs], 1),
            )
        )
    report.words(
        f"### A quiet room of {people:,}: one event at a time\n\nEach event goes as in a room that "
        "was quiet before it, and the next is asked for when everybody has it. Percentiles are of "
        f"all {len(limit) * events:,} events."
    )
    heads = ["", "deliveries per second of one core", ": the limit", "QLive : this one", *WAITS]
    report.table([*heads, "loop blocked at most [ms]"], rows)
    beside = [_part(found[OURS], p) / _part(found[C], p) for p in (0.5, 0.99)]
    apart = sorted(it for runs in found[OURS] for it in runs.spreads)
    report.words(
        f"To the last member, QLive : the limit: p50 {beside[0]:.2f}, p99 {beside[1]:.2f}. Between "
        f"the first and the last member: p50 {_of(apart, 0.5):.1f} ms, p99 {_of(apart, 0.99):.1f} "
        "ms."
    )
    picture = f"fanout-{people}.svg"
    title = f"Deliveries per second of one core, {people:,} sockets"
    bars(picture, title, {name: _rates(runs) for name, runs in found.items()})
    report.picture(picture, f"Deliveries per second of one core at {people:,} sockets")


def busy(report: Report, people: int, found: Runs) -> None:
    report.words(
        f"### A busy room of {people:,}\n\nWhat becomes ready within 5 ms leaves in one send, and "
        "so does all that piles up while a send is under way. The limit is that of one send a "
        "frame, measured in the same turn."
    )
    limit = _rates(found.pop(C))
    rows = [
        (
            name,
            spread(_rates(runs)),
            spread(ratios(_rates(runs), limit), 1),
            *_waits(runs),
            spread([it.cpu / it.seconds for it in runs], 2),
            spread([it.blocked_ms for it in runs], 1),
        )
        for name, runs in found.items()
    ]
    heads = ["", "deliveries per second of one core", ": the limit", *WAITS, "of a core"]
    report.table([*heads, "blocked at most [ms]"], rows)


def sockets(report: Report, people: int, opened: Mapping[str, Sequence[Crowd]]) -> None:
    times = len(opened[OURS])
    report.words(
        f"### {people:,} sockets: opening and holding them\n\n{times} times, each by a server "
        "that has just begun. Ours asks MongoDB for each one's token, place, room and counts."
    )
    rows = [
        (
            name,
            spread([it.people / it.opening_seconds for it in found]),
            spread(_openings(found)),
            spread([it.idle_bytes / 1024 for it in found], 1),
        )
        for name, found in opened.items()
    ]
    heads = ["", "opened per second", "per second of one core", "memory of an idle one [KiB]"]
    report.table(heads, rows)
    beside = ratios(_openings(opened[ALONE]), _openings(opened[TORNADO]))
    report.words(
        f"Handshakes per second of one core, our hub alone : Tornado's: {spread(beside, 2)}."
    )


def _openings(found: Sequence[Crowd]) -> list[float]:
    return [it.people / it.opening_cpu for it in found]


def _rates(runs: list[Figures]) -> list[float]:
    return [it.per_cpu_second for it in runs]


WAITS = ("to the last member, p50 [ms]", "p99", "p99.9")


def _waits(runs: list[Figures]) -> tuple[str, str, str]:
    """p50 run by run, the rest of all events together."""
    middles = [_of(sorted(it.waits), 0.5) for it in runs]
    many = sum(len(it.waits) for it in runs) >= 1_000
    last = f"{_part(runs, 0.999):.1f}" if many else "too few"
    return spread(middles, 1), f"{_part(runs, 0.99):.1f}", last


def _part(runs: list[Figures], p: float) -> float:
    return _of(sorted(wait for it in runs for wait in it.waits), p)


def _of(ordered: list[float], p: float) -> float:
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]
