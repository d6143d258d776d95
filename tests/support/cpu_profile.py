"""CPU time of each test and fixture, printed after `make test PROFILE=1`: its own process and all
that it started, such as MongoDB, servers and browsers."""

import os
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SHOWN = 20
TICKS = os.sysconf("SC_CLK_TCK")
Figures = dict[str, tuple[float, float]]
"""CPU seconds and seconds by "fixture NAME" or "test ID"."""


def cpu_seconds() -> float:
    """CPU time of this process, of its running descendants and of those that have ended."""
    times = os.times()
    return sum(times[:4]) + _of_children(os.getpid())


def _of_children(pid: int) -> float:
    used = 0.0
    with suppress(OSError):  # it has just ended
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            stat = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            used += sum(map(int, stat[11:15])) / TICKS + _of_children(int(child))
    return used


class Profile:
    """Measures in each process of a run, and adds up in the one that prints."""

    def __init__(self) -> None:
        self._measured: Figures = {}
        self._cpu, self._seconds = Counter[str](), Counter[str]()

    @contextmanager
    def _measuring(self, name: str) -> Iterator[None]:
        cpu, start = cpu_seconds(), time.monotonic()
        yield
        spent = cpu_seconds() - cpu, time.monotonic() - start
        before = self._measured.get(name, (0.0, 0.0))
        self._measured[name] = spent[0] + before[0], spent[1] + before[1]

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        with self._measuring(f"fixture {fixturedef.argname}"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with self._measuring(f"test {item.nodeid}"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        with self._measuring("fixture (ends of all)"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            report.user_properties.append(("profile", self._measured))
            self._measured = {}
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, figures in dict(report.user_properties).get("profile", {}).items():
            self._cpu[name] += figures[0]
            self._seconds[name] += figures[1]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the dearest tests, folders and fixtures."""
        folders = Counter[str]()
        for name, cpu in self._cpu.items():
            if name.startswith("test "):
                folders[f"folder {Path(name.removeprefix('test ')).parent}"] += cpu
        terminalreporter.section(f"CPU seconds, of {self._cpu.total():.0f}")
        for kind in "fixture", "folder", "test":
            counted = folders if kind == "folder" else self._cpu
            ranked = [row for row in counted.most_common() if row[0].startswith(kind)]
            for name, cpu in ranked[:SHOWN]:
                terminalreporter.line(f"{cpu:8.2f}  {self._seconds[name]:8.2f} s  {name}")
