"""Scrapes of /metrics."""

Sample = dict[str, float]
"""Values by series, as in the text."""


def parse(text: str) -> Sample:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}
