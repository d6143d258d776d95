from typing import Any

import pytest
from tornado.ioloop import IOLoop

from config.sections import UploadsSettings
from runtime.process import ServerProcess
from tests.support.moderation import ModerationFixture, warm_up


@pytest.fixture
def moderation(
    io_loop: IOLoop, server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> ModerationFixture:
    """Without a bucket, so that a test names pictures by addresses with the words it wants."""
    monkeypatch.setattr(server.context.services.accounts.pictures, "_uploads", UploadsSettings())
    io_loop.run_sync(lambda: warm_up(server))
    return ModerationFixture(server, db, monkeypatch)
