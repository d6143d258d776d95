"""What was seen of the crowds, as tables and plots."""

from collections.abc import Mapping, Sequence

from bench.fanout.crowd import Crowd, Figures
from bench.fanout.servers import ALONE, OURS, SETTLED, TORNADO
from bench.picture import bars
from bench.report import Report, ratios, spread

C, LOOP = "a C loop of send(2) over our sockets: the limit", "a Python loop of `socket.send`"

Runs = dict[str, list[Figures]]


def quiet(report: Report, people: int, found: Runs) -> None:
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
                f"{len(runs[0].waits)}",
            )
        )
    report.words(
        f"### A quiet room of {people:,}: one event at a time\n\nEach event goes as in a room that "
        "was quiet before it, and the next is asked for when everybody has it. "
        f"{len(limit)} runs, each of so many events as the last column says."
    )
    heads = ["", "deliveries per second of one core", ": the limit", "QLive : this one", *WAITS]
    report.table([*heads, "loop blocked at most [ms]", "events in a run"], rows)
    beside = [spread(ratios(_parts(found[OURS], p), _parts(found[C], p)), 2) for p in (0.5, 0.99)]
    apart = [[_of(sorted(it.spreads), p) for it in found[OURS]] for p in (0.5, 0.99)]
    report.words(
        f"To the last member, QLive : the limit: p50 {beside[0]}, p99 {beside[1]}. Between the "
        f"first and the last member: p50 {spread(apart[0], 1)} ms, p99 {spread(apart[1], 1)} ms."
    )
    picture = f"fanout-{people}.svg"
    title = f"Deliveries per second of one core, {people:,} sockets"
    bars(report.pictures / picture, title, {name: _rates(runs) for name, runs in found.items()})
    report.picture(picture, f"Deliveries per second of one core at {people:,} sockets")


def busy(report: Report, people: int, found: Runs, others: Runs) -> None:
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
    if others:
        report.words(
            "The others, which send each frame by itself (our hub alone and uWebSockets join what "
            f"comes during a send), at {next(iter(found))} for half a second: "
            f"{len(next(iter(others.values())))} runs. Whoever is at a whole core lags ever more."
        )
        rows = [
            (
                name,
                spread(_rates(runs)),
                *_waits(runs),
                spread([it.cpu / it.seconds for it in runs], 2),
            )
            for name, runs in others.items()
        ]
        report.table(["", "deliveries per second of one core", *WAITS, "of a core"], rows)


def sockets(report: Report, people: int, opened: Mapping[str, Sequence[Crowd]]) -> None:
    times = len(opened[OURS])
    report.words(
        f"### {people:,} sockets: opening and holding them\n\n{times} times, each by a server "
        "that has just begun, the last time with the others idle beside it. Ours asks MongoDB for "
        "each one's token, place, room and counts."
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
    hub = _openings(opened[ALONE])
    plain, settled = (ratios(hub, _openings(opened[name])) for name in (TORNADO, SETTLED))
    report.words(
        f"Handshakes per second of one core, our hub alone : Tornado's {spread(plain, 2)}, and "
        f"with our collector's settings {spread(settled, 2)}."
    )


def _openings(found: Sequence[Crowd]) -> list[float]:
    return [it.people / it.opening_cpu for it in found]


def _rates(runs: list[Figures]) -> list[float]:
    return [it.per_cpu_second for it in runs]


WAITS = ("to the last member, p50 [ms]", "p99", "p99.9")


def _waits(runs: list[Figures]) -> tuple[str, str, str]:
    """p50 and p99 run by run; p99.9 of all events together, where they are enough."""
    everything = sorted(wait for it in runs for wait in it.waits)
    last = _of(everything, 0.999) if len(everything) >= ENOUGH else everything[-1]
    rarest = f"{last:,.1f}" if len(everything) >= ENOUGH else f"worst {last:,.1f}"
    return spread(_parts(runs, 0.5), 1), spread(_parts(runs, 0.99), 1), rarest


ENOUGH = 5_000
"""Events of which one in a thousand is more than one or two."""


def _parts(runs: list[Figures], p: float) -> list[float]:
    return [_of(sorted(it.waits), p) for it in runs]


def _of(ordered: list[float], p: float) -> float:
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]
