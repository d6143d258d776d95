"""The report of a load test as one HTML page, which loads nothing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape

from loadtest.measurements import Sample, percentile
from loadtest.plots import Point, by_percentile, over_time
from loadtest.report import ANSWER, LAST, RECONNECT, Figures, LoadReport

STYLE = """
:root { color-scheme: light dark; --text: #1d2733; --soft: #5b6675; --grid: #d9dee5;
  --one: #b3163b; --two: #2a6fb0; --three: #4d7c2f; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6eaf0; --soft: #a3adba; --grid: #37414e;
  --one: #ff6f8e; --two: #7db8ee; --three: #9ccf76; --back: #151b22; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; margin: 1rem 0; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); } svg .title { fill: var(--text); font-weight: 600; }
svg .grid { stroke: var(--grid); } polyline { fill: none; stroke-width: 1.8; }
.line1 { stroke: var(--one); } .line2 { stroke: var(--two); } .line3 { stroke: var(--three); }
svg .name1 { fill: var(--one); } svg .name2 { fill: var(--two); } svg .name3 { fill: var(--three); }
"""
PLOTTED = (ANSWER, LAST, RECONNECT)


def page(report: LoadReport) -> str:
    kinds = {it.name: it for it in report.kinds}
    ordered = {name: [1000 * it for it in kinds[name].ordered] for name in PLOTTED}
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Load test of {escape(report.options.url)}</title><style>{STYLE}</style></head>",
        "<body><h1>Load test</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in report.summary()),
        *_table(report.header, report.kinds),
        by_percentile("Duration by percentile", ordered),
        over_time("Answer, by second", _by_second(kinds[ANSWER].samples)),
        over_time("Request to last member, by second", _by_second(kinds[LAST].samples)),
        "<h2>Calls</h2>",
        *_table(report.header, report.calls),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Figures]) -> Iterator[str]:
    yield "<table><thead><tr>"
    yield "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    yield "</tr></thead><tbody>"
    for figures in rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in figures.row()) + "</tr>"
    yield "</tbody></table>"


def _by_second(samples: Sequence[Sample]) -> dict[str, list[Point]]:
    """Median and 99th percentile of each second, in ms."""
    seconds: dict[int, list[float]] = defaultdict(list)
    for sample in samples:
        seconds[int(sample.at)].append(sample.seconds * 1000)
    lines: dict[str, list[Point]] = {"p99": [], "p50": []}
    for second, values in sorted(seconds.items()):
        values.sort()
        lines["p99"].append((second, percentile(values, 0.99)))
        lines["p50"].append((second, percentile(values, 0.5)))
    return lines
