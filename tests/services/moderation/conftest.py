from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.moderation import ModerationFixture


@pytest.fixture
def has_bucket() -> bool:
    """A test names pictures by addresses with the words it wants."""
    return False


@pytest.fixture
def moderation(server: ServerProcess, db: Any) -> ModerationFixture:
    return ModerationFixture(server, db)
