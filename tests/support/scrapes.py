"""Scrapes of /metrics."""

import re

Sample = dict[str, float]
"""Values by series, as in the text."""


def parse(text: str) -> Sample:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def counters(text: str) -> set[str]:
    """Names of the samples that may only rise."""
    found = re.findall(r"^# TYPE (\S+) (counter|histogram)$", text, re.MULTILINE)
    suffixes = {"counter": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {name + suffix for name, kind in found for suffix in suffixes[kind]}
