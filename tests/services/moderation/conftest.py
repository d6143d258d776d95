from typing import Any

import pytest

from config.sections import UploadsSettings
from runtime.process import ServerProcess
from tests.support.moderation import ModerationFixture


@pytest.fixture
def moderation(
    server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> ModerationFixture:
    """Without a bucket, so that a test names pictures by addresses with the words it wants."""
    monkeypatch.setattr(server.context.services.accounts.pictures, "_uploads", UploadsSettings())
    return ModerationFixture(server, db, monkeypatch)
