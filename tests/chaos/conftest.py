"""Fixtures for runs over real processes: a folder in memory, and the file limit."""

import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(secrets_file: Path) -> Iterator[Path]:
    """A temporary folder with the development secrets, if they exist.

    In memory where /dev/shm exists: mongod syncs every acknowledged write.
    """
    parent = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="qlive-chaos-", dir=parent) as created:
        if secrets_file.exists():
            shutil.copy(secrets_file, Path(created) / "dev-secrets.json")
        yield Path(created)


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Restores the limit of open files, which a run raises for its whole process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
