"""Line plots as SVG text, in the colours of the page that has them."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Point = tuple[float, float]
Scale = Callable[[float], float]
WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 36, 40
NINES = (0.5, 0.9, 0.99, 0.999)
"""Ticks of the percentiles."""


def over_time(title: str, lines: Mapping[str, Sequence[Point]]) -> str:
    """Milliseconds over seconds, from 0."""
    points = [point for line in lines.values() for point in line]
    longest = max([x for x, _ in points], default=1.0) or 1.0
    highest = _round_up(max([y for _, y in points], default=1.0))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / longest

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest

    x_ticks = {x(longest * n / 5): f"{longest * n / 5:.0f} s" for n in range(6)}
    y_ticks = {y(highest * n / 4): _milliseconds(highest * n / 4) for n in range(5)}
    return _plot(title, x_ticks, y_ticks, _mapped(lines, x, y))


def by_percentile(title: str, ordered: Mapping[str, Sequence[float]]) -> str:
    """Milliseconds by percentile, both on logarithmic scales; values are in ascending order."""
    values = [value for line in ordered.values() for value in line]
    lowest = 10 ** math.floor(math.log10(max(min(values, default=1.0), 0.1)))
    highest = 10 ** math.ceil(math.log10(max(max(values, default=10.0), 10 * lowest)))
    most = max([len(line) for line in ordered.values()], default=1)
    nines = max(3.0, math.log10(max(most, 1)))

    def x(share: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, -math.log10(1 - share) / nines)

    def y(value: float) -> float:
        part = math.log10(max(value, lowest) / lowest) / math.log10(highest / lowest)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    lines = {
        name: [(n / (len(line) + 1), value) for n, value in enumerate(line, 1)]
        for name, line in ordered.items()
    }
    decades = range(round(math.log10(lowest)), round(math.log10(highest)) + 1)
    y_ticks = {y(10.0**n): _milliseconds(10.0**n) for n in decades}
    x_ticks = {x(0): "0", **{x(share): f"p{share * 100:g}" for share in NINES}}
    return _plot(title, x_ticks, y_ticks, _mapped(lines, x, y))


def _mapped(lines: Mapping[str, Sequence[Point]], x: Scale, y: Scale) -> dict[str, list[Point]]:
    return {name: [(x(a), y(b)) for a, b in line] for name, line in lines.items()}


def _plot(
    title: str,
    x_ticks: Mapping[float, str],
    y_ticks: Mapping[float, str],
    lines: Mapping[str, Sequence[Point]],
) -> str:
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>',
    ]
    for at, label in y_ticks.items():
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for at, label in x_ticks.items():
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>'
        )
    for number, (name, line) in enumerate(lines.items(), 1):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        parts.append(f'<polyline class="line{number}" points="{points}"/>')
        parts.append(
            f'<text class="name{number}" x="{WIDTH - RIGHT}" y="{TOP + 16 * number - 20}" '
            f'text-anchor="end">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _round_up(value: float) -> float:
    """The next 1, 2, 4 or 8 of its power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 0.1)))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"
