import random
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import membership_changes
from chaos.room_load import RoomLoad
from chaos.violations import Violations
from tests.support.client import Reply


class FakeUser:
    """Receives the statuses of its script; the last one repeats."""

    id, name, live_id = "1", "host", 7

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.requests: list[str] = []

    async def post(self, path: str, **_params: Any) -> Reply:
        self.requests.append(path.strip("/").rpartition("/")[2])
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        return Reply(status)

    get = post


def room_of(host: Any) -> RoomLoad:
    return RoomLoad(host, [], Violations(), random.Random(1))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_seconds: float) -> None: ...

    asyncio = membership_changes.asyncio
    patched = SimpleNamespace(**vars(asyncio) | {"sleep": sleep})
    monkeypatch.setattr(membership_changes, "asyncio", patched)


async def test_a_live_session_restarts_after_retried_requests() -> None:
    host = FakeUser(0, 200, 503, 200)
    room = room_of(host)
    await membership_changes.restart_live(room)
    assert host.requests == ["live_end"] * 2 + ["matchmaker_enter"] * 2
    assert [operation.key for operation in room.operations] == ["live_end 1"]
    assert not room.violations


@pytest.mark.parametrize("status", [0, 409, 503])
async def test_a_live_session_that_cannot_be_ended_is_a_violation(status: int) -> None:
    host = FakeUser(status)
    room = room_of(host)
    await membership_changes.restart_live(room)
    assert host.requests == ["live_end"] * membership_changes.TRIES
    assert dict(room.violations.counts) == {"unexpected_response": 1}
