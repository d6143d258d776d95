"""Figures as people read them: the median of the runs, and how far these lie apart."""

import statistics


def show(label: str, values: list[float], digits: int) -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    spread = f"median {middle:.{digits}f}  ({low:.{digits}f} to {high:.{digits}f})"
    print(f"  {label:<48}{spread}")
