"""Tables and plots of the fan-out benchmark."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

from bench.fanout.crowd import ListenerCrowd, RunFigures
from bench.fanout.servers import QLIVE
from bench.report import BenchmarkReport, ratios, spread

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "qlive"  # fixed ids: the same figures give the same file
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen before

HIGHLIGHT_COLOUR, PEER_COLOUR = "#b3163b", "#9aa4b2"
C_LOOP = "limit: a C loop of send(2) over QLive's sockets"
PYTHON_LOOP = "a Python loop of `socket.send` over QLive's sockets"
RATE_HEADER = "deliveries per CPU second"
LATENCY_HEADERS = ("latency to the last socket, p50 [ms]", "p99 [ms]", "p99.9 [ms]")
CPU_HEADER, BLOCKED_HEADER = "CPU [cores]", "event loop blocked at most [ms]"
MIN_EVENTS_FOR_P999 = 5_000
"""Events needed for p99.9, so that it is not decided by one or two of them."""

FanoutRuns = dict[str, list[RunFigures]]
"""By server, or by event rate: the figures of each run."""


def report_quiet(report: BenchmarkReport, sockets: int, by_server: FanoutRuns) -> None:
    limit, qlive = _rates(by_server[C_LOOP]), _rates(by_server[QLIVE])
    rows = []
    for name, runs in by_server.items():
        rates = _rates(runs)
        rows.append(
            (
                name,
                spread(rates),
                spread(ratios(rates, limit), 2),
                "" if name == QLIVE else spread(ratios(qlive, rates), 2),
                *_latencies(runs),
                spread([figures.blocked_ms for figures in runs], 1),
            )
        )
    report.subsection(
        f"{sockets:,} sockets, quiet room: one event at a time",
        "Each event is sent as in a room that was quiet before, and the next is requested when "
        f"every socket has received it. {len(limit)} runs.",
    )
    header = ["", RATE_HEADER, "server : limit", "QLive : peer", *LATENCY_HEADERS]
    report.table([*header, BLOCKED_HEADER], rows)
    picture = f"fanout-{sockets}.svg"
    title = f"Deliveries per CPU second at {sockets:,} sockets"
    rates_by_server = {name: _rates(runs) for name, runs in by_server.items()}
    bar_chart(report.pictures / picture, title, rates_by_server, highlighted=QLIVE)
    report.picture(picture, title)


def report_busy(report: BenchmarkReport, sockets: int, by_rate: FanoutRuns) -> None:
    report.subsection(
        f"{sockets:,} sockets, busy room: events at a fixed rate",
        "QLive joins the events of 5 ms, and all that arrive during a send, into one send. The "
        "limit makes one send per event; it was measured in the same rounds.",
    )
    limit = _rates(by_rate[C_LOOP])
    rates_of_events = {name: runs for name, runs in by_rate.items() if name != C_LOOP}
    rows = [
        (
            name,
            spread(_rates(runs)),
            spread(ratios(_rates(runs), limit), 1),
            *_latencies(runs),
            spread([figures.cpu_seconds / figures.seconds for figures in runs], 2),
            spread([figures.blocked_ms for figures in runs], 1),
        )
        for name, runs in rates_of_events.items()
    ]
    header = ["", RATE_HEADER, "QLive : limit", *LATENCY_HEADERS, CPU_HEADER, BLOCKED_HEADER]
    report.table(header, rows)


def report_sockets(
    report: BenchmarkReport, sockets: int, crowds: Mapping[str, ListenerCrowd]
) -> None:
    report.subsection(
        f"{sockets:,} sockets: opening and idling",
        "One run; the servers started before idle beside it. QLive reads token, membership, room "
        "and counts from MongoDB for each socket.",
    )
    rows = [
        (
            name,
            f"{crowd.sockets / crowd.opening_seconds:,.0f}",
            f"{crowd.sockets / crowd.opening_cpu:,.0f}",
            f"{crowd.idle_bytes / 1024:,.1f}",
        )
        for name, crowd in crowds.items()
    ]
    header = ["", "handshakes per second", "handshakes per CPU second"]
    report.table([*header, "memory per idle socket [KiB]"], rows)


def _rates(runs: list[RunFigures]) -> list[float]:
    return [figures.deliveries_per_cpu_second for figures in runs]


def _latencies(runs: list[RunFigures]) -> tuple[str, str, str]:
    """p50 and p99 by run; p99.9 over all runs, or the maximum if the events are too few."""
    latencies = sorted(latency for figures in runs for latency in figures.latencies_ms)
    if len(latencies) >= MIN_EVENTS_FOR_P999:
        p999 = f"{_percentile(latencies, 0.999):,.1f}"
    else:
        p999 = f"max {latencies[-1]:,.1f}"
    return spread(_percentiles(runs, 0.5), 1), spread(_percentiles(runs, 0.99), 1), p999


def _percentiles(runs: list[RunFigures], p: float) -> list[float]:
    return [_percentile(sorted(figures.latencies_ms), p) for figures in runs]


def _percentile(ordered: list[float], p: float) -> float:
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]


def bar_chart(
    path: Path, title: str, runs: Mapping[str, Sequence[float]], highlighted: str
) -> None:
    """Horizontal bars of medians, with error bars over the runs; one label is highlighted."""
    medians = [statistics.median(values) for values in runs.values()]
    low = [median - min(values) for median, values in zip(medians, runs.values(), strict=True)]
    high = [max(values) - median for median, values in zip(medians, runs.values(), strict=True)]
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(runs) + 1))
    colours = [HIGHLIGHT_COLOUR if name == highlighted else PEER_COLOUR for name in runs]
    axes.barh([name.replace("`", "") for name in runs], medians, xerr=[low, high], color=colours)
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
