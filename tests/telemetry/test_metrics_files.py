"""Workers and a supervisor that share a folder, in one process."""

import errno
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import metrics_files
from telemetry.metrics import Metrics, Registry
from telemetry.metrics_files import (
    LEFT_SECONDS,
    EndedMetricsFile,
    WorkerMetricsFile,
    remove_left_folders,
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["count", "save", "scrape", "kill", "end", "renew"]), st.integers(0, 1)
    ),
    max_size=40,
)


class Folder:
    """Two slots with a worker each, of which any may answer a scrape."""

    def __init__(self, parent: Path) -> None:
        self.ended = EndedMetricsFile(parent)
        self.own = Registry()
        self.own.counter("deaths", "", lambda: self.deaths)
        self.deaths = self.counted = 0
        self.ended.write(self.own.snapshot())
        self.workers = [self.new(0), self.new(1)]

    def new(self, slot: int) -> tuple[Path, Metrics, WorkerMetricsFile]:
        path = self.ended.next_worker(slot)
        file = WorkerMetricsFile(path)
        metrics = Metrics(file)
        metrics.save()
        return path, metrics, file

    def run(self, step: str, slot: int) -> None:
        path, metrics, _ = self.workers[slot]
        match step:
            case "count":
                metrics.handshakes.inc()
                metrics.delivery_seconds.observe(0.1 * self.counted)
                self.counted += 1
            case "save":
                metrics.save()
            case "kill":
                self.deaths += 1
                self.ended.add_ended(path, self.own.snapshot())
                self.workers[slot] = self.new(slot)
            case "end":
                metrics.save()
                self.ended.add_ended(path, self.own.snapshot())
                self.workers[slot] = self.new(slot)
            case "renew":  # the new worker first
                self.workers[slot] = self.new(slot)
                metrics.save()
                self.ended.add_ended(path, self.own.snapshot())

    def scrape(self, slot: int) -> dict[str, float]:
        _, metrics, file = self.workers[slot]
        metrics.save()
        found = re.findall(rb"^(qlive_\w+_(?:total|count|sum)) (\S+)$", file.text(), re.MULTILINE)
        return {name.decode(): float(value) for name, value in found}


@settings(deadline=None)
@given(steps=STEPS)
def test_no_counter_falls_whichever_worker_answers(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = Folder(tmp_path_factory.mktemp("metrics"))
    before = folder.scrape(0)
    for step, slot in steps:
        folder.run(step, slot)
        if step == "scrape":
            after = folder.scrape(slot)
            assert all(after[name] >= value for name, value in before.items())
            before = after
    killed = any(step == "kill" for step, _ in steps)
    folder.scrape(1)  # the other worker's last values
    handshakes = folder.scrape(0)["qlive_handshakes_total"]
    assert handshakes == folder.counted or (killed and handshakes < folder.counted)


def test_a_kill_loses_only_what_was_counted_since_the_last_save(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.run("count", 0)
    folder.run("save", 0)
    folder.run("count", 0)
    folder.run("kill", 0)
    counted = folder.scrape(1)
    assert (counted["qlive_handshakes_total"], counted["qlive_deaths_total"]) == (1, 1)


def test_a_worker_that_ends_during_a_scrape_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.run("count", 1)
    read = metrics_files._read_ended

    def end_first(path: Path) -> object:
        monkeypatch.undo()
        folder.run("end", 1)
        return read(path)

    monkeypatch.setattr(metrics_files, "_read_ended", end_first)
    folder.run("save", 1)
    assert folder.scrape(0)["qlive_handshakes_total"] == 1
    assert folder.scrape(0)["qlive_handshakes_total"] == 1


def test_the_folder_does_not_grow_with_ended_workers(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for _ in range(3):
        folder.run("count", 0)
        folder.run("end", 0)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*"))
    for _ in range(metrics_files.REMEMBERED + 10):
        folder.run("end", 0)
    names = sorted(file.name for file in tmp_path.rglob("*.*"))
    assert len(names) == 2, names
    after = sum(file.stat().st_size for file in tmp_path.rglob("*"))
    assert after - size < 20 * metrics_files.REMEMBERED, "no more than the names"
    folder.ended.remove()
    assert list(tmp_path.iterdir()) == []


def test_workers_delete_the_folder_of_a_supervisor_that_is_gone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for _, _, file in folder.workers:
        assert list(tmp_path.iterdir())
        file.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gen_test(timeout=20)
async def test_a_scrape_without_space_answers_the_values_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    _, metrics, _ = folder.workers[0]
    folder.run("count", 0)
    folder.run("save", 0)
    folder.run("count", 0)
    fill_disk(monkeypatch)
    assert b"qlive_handshakes_total 1.0" in await metrics.page()
    monkeypatch.undo()
    assert b"qlive_handshakes_total 2.0" in await metrics.page()


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(Path, "write_bytes", fail)


def test_the_file_of_an_ended_worker_is_deleted_once_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.run("count", 1)
    folder.run("save", 1)
    path, _, _ = folder.workers[1]
    fill_disk(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        folder.ended.add_ended(path, folder.own.snapshot())
    assert path.exists(), "the only file that has its counters"
    monkeypatch.undo()
    assert folder.scrape(0)["qlive_handshakes_total"] == 1
    folder.ended.write(folder.own.snapshot())
    assert not path.exists()
    assert folder.scrape(0)["qlive_handshakes_total"] == 1


def test_folders_of_killed_supervisors_are_deleted_after_an_hour(tmp_path: Path) -> None:
    folders = [Folder(tmp_path) for _ in range(3)]
    killed, recent, _ = (folder.workers[0][0].parent for folder in folders)
    other = tmp_path / "other"
    other.mkdir()
    now = time.time()
    for old in (killed, recent, other):
        for path in (*old.iterdir(), old):
            os.utime(path, (now - LEFT_SECONDS - 60, now - LEFT_SECONDS - 60))
    os.utime(recent / metrics_files.ENDED, (now, now - LEFT_SECONDS + 60))
    remove_left_folders(tmp_path)
    assert not killed.exists()
    for folder in folders[1:]:
        assert folder.scrape(0)["qlive_handshakes_total"] == 0
    assert other.exists()
