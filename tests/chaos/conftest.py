"""Fixtures for runs over real processes."""

import resource
from collections.abc import Iterator

import pytest


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Restores the limit of open files, which a run raises for its whole process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
