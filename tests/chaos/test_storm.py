"""A minute over real processes, three quarters of it storm, the rest their start and what is looked
at when all is quiet: the promises are asserted, never times."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.play import Play
from chaos.scene import Size
from chaos.storm import SETTINGS, SILENCE, storm

SIZE = Size(clients=60, rooms=4, processes=4, silence=SILENCE, settings=SETTINGS)
SEED, SECONDS = 4, 45.0


@pytest.fixture
def folder(tmp_path: Path, secrets_file: Path) -> Path:
    """With the secrets already made, where there are any."""
    if secrets_file.exists():
        shutil.copy(secrets_file, tmp_path / "dev-secrets.json")
    return tmp_path


@pytest.fixture(autouse=True)
def file_limit() -> Iterator[None]:
    """A run raises the limit for its whole process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.gen_test(timeout=400)
async def test_no_promise_breaks_in_a_storm(folder: Path) -> None:
    report = await storm(Play(folder, SIZE, SECONDS, SEED))
    assert not report.faults, report.line()
    figures = report.figures
    assert figures["server_starts"] > SIZE.processes
    assert figures["reconnects"] > 0
    assert figures["resumed"] > 0
    assert figures["acknowledged"] > 100
    assert figures["deliveries"] > 10 * figures["acknowledged"]
