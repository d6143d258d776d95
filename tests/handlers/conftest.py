"""Fixtures of tests over HTTP."""

from typing import Any

import pytest
from tornado.ioloop import IOLoop

from runtime.process import ServerProcess
from tencent import wechat
from tests.support.moderation import ModerationFixture, warm_up
from tests.support.waiting import WAIT_SECONDS


@pytest.fixture(autouse=True)
def patient_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer for an answer of WeChat, without which a name is reviewed."""
    monkeypatch.setattr(wechat, "ANSWER_SECONDS", WAIT_SECONDS)


@pytest.fixture
def moderation(io_loop: IOLoop, server: ServerProcess, db: Any) -> ModerationFixture:
    io_loop.run_sync(lambda: warm_up(server))
    return ModerationFixture(server, db)
