"""SVG plots for docs/benchmarks.md."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "qlive"  # fixed ids: the same figures give the same file
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen before

HIGHLIGHT_COLOUR, PEER_COLOUR = "#b3163b", "#9aa4b2"


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
