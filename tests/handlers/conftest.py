"""Fixtures of tests over HTTP."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.moderation import ModerationFixture


@pytest.fixture
def moderation(server: ServerProcess, db: Any) -> ModerationFixture:
    return ModerationFixture(server, db)
