"""Plots for the page, in SVG."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "qlive"  # the same figures make the same file
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of how it draws

OURS, THEIRS = "#b3163b", "#9aa4b2"
SHADES = (OURS, THEIRS, "#5b6675")


def bars(path: Path, title: str, runs: Mapping[str, Sequence[float]]) -> None:
    """A bar for each, its length the median, with a line from the lowest to the highest run."""
    middles = [statistics.median(values) for values in runs.values()]
    low = [middle - min(values) for middle, values in zip(middles, runs.values(), strict=True)]
    high = [max(values) - middle for middle, values in zip(middles, runs.values(), strict=True)]
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(runs) + 1))
    colours = [OURS if name.startswith("QLive") else THEIRS for name in runs]
    axes.barh([name.replace("`", "") for name in runs], middles, xerr=[low, high], color=colours)
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def groups(path: Path, title: str, runs: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """For each group a bar for everybody, as in `bars`."""
    servers = list(next(iter(runs.values())))
    figure, axes = plt.subplots(figsize=(9, 4))
    width = 0.8 / len(servers)
    for n, (server, colour) in enumerate(zip(servers, SHADES, strict=False)):
        middles = [statistics.median(found[server]) for found in runs.values()]
        places = [group + n * width for group in range(len(runs))]
        axes.bar(places, middles, width * 0.9, label=server, color=colour)
    axes.set_xticks([group + 0.4 - width / 2 for group in range(len(runs))], list(runs))
    axes.set_title(title, loc="left")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
