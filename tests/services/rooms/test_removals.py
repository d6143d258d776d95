"""A ban takes effect although its process dies, and only while it lasts."""

import asyncio
from typing import Any

import pytest

from runtime.process import ServerProcess
from services.accounts.sessions import EvictionService
from storage.jobs.outbox import OutboxStore
from tests.support.api import ApiFixture
from tests.support.chat import until_delivered
from tests.support.mic import report_stream, stream_of
from tests.support.waiting import until
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


async def test_what_removes_or_silences_a_user_overtakes_the_backlog_of_the_outbox(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: dict[str, set[bool]] = {}
    add = OutboxStore.add

    async def record(self: OutboxStore, kind: str, *args: Any, **options: Any) -> None:
        added.setdefault(kind, set()).add(options.get("urgent", False))
        await add(self, kind, *args, **options)

    monkeypatch.setattr(OutboxStore, "add", record)
    host = await api.host()
    anna, bert, carl = [await api.guest(name, 1, host.live_id) for name in ("anna", "bert", "carl")]
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    seat = (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    await report_stream(api, server, stream_of(seat), score=100)
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=bert.id)).ok()
    (await carl.get("qlive_user/logout/")).ok()
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude", reason="rude")).ok()
    urgent = ("forbid_stream", "kick_out", "kick", "ban", "mute")
    await until(lambda: set(urgent) <= added.keys())
    assert {kind: added[kind] for kind in urgent} == {kind: {True} for kind in urgent}
