from typing import Any

import pytest
from tornado.ioloop import IOLoop

from runtime.process import ServerProcess
from tests.support.moderation import ModerationFixture, warm_up


@pytest.fixture
def has_bucket() -> bool:
    """A test names pictures by addresses with the words it wants."""
    return False


@pytest.fixture
def moderation(io_loop: IOLoop, server: ServerProcess, db: Any) -> ModerationFixture:
    io_loop.run_sync(lambda: warm_up(server))
    return ModerationFixture(server, db)
