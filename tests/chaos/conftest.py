"""A folder in memory and the file limit, for runs over real processes."""

import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(secrets_file: Path) -> Iterator[Path]:
    """In memory where there is any: mongod syncs every acknowledged write. With the secrets
    already made, where there are any."""
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="qlive-chaos-", dir=place) as made:
        if secrets_file.exists():
            shutil.copy(secrets_file, Path(made) / "dev-secrets.json")
        yield Path(made)


@pytest.fixture
def file_limit() -> Iterator[None]:
    """A run raises the limit for its whole process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
