"""A ban takes effect although its process dies, and only while it lasts."""

import asyncio
from typing import Any

import pytest

from runtime.process import ServerProcess
from services.accounts.sessions import EvictionService
from tests.support.api import ApiFixture
from tests.support.chat import until_delivered
from tests.support.websockets import close_code_of


async def test_ban_is_completed_when_its_process_dies_after_storing_it(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    removals, stores = server.context.services.rooms.removals, server.context.stores
    evict, operator = EvictionService.evict, asyncio.current_task()

    async def die_in_request(self: EvictionService, message: Any) -> None:
        if asyncio.current_task() is operator:
            raise ConnectionError
        await evict(self, message)

    monkeypatch.setattr(EvictionService, "evict", die_in_request)
    with pytest.raises(ConnectionError):
        await removals.change_user(anna.id, {"banned": True, "ban_reason": "rude"})
    await until_delivered(server)
    assert await stores.tokens.sessions(anna.id) == []
    assert await stores.members.get(anna.id) is None
    assert await close_code_of(socket) == 4503
    free = await removals.change_user(anna.id, {"banned": False})
    assert (free.banned, free.ban_reason) == (False, "")


async def test_lifted_ban_is_not_enforced_any_more(api: ApiFixture, server: ServerProcess) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    removals, stores = server.context.services.rooms.removals, server.context.stores
    await removals.enforce_ban(anna.id)
    assert len(await stores.tokens.sessions(anna.id)) == 1
    assert await stores.members.get(anna.id)
