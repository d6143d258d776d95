"""Repeated authorization of subscribed users, and the room as they all see it."""

import json

import pytest
from pymongo.errors import AutoReconnect

from core.errors import TryAgain
from realtime.close_codes import CloseCode
from rooms.errors import RemovedFromRoom
from rooms.room import Room
from runtime.process import ServerProcess
from services.rooms.room_access import close_code_for
from storage.errors import StorageUnavailable
from tests.support.api import ApiFixture
from tests.support.room_screen import comparable


async def test_each_reason_to_close_a_socket_has_its_code(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    member, left, removed, banned = [
        await api.guest(name, 1, host.live_id) for name in ("member", "left", "removed", "banned")
    ]
    (await left.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=removed.id)).ok()
    (await api.ops("PATCH", f"users/{banned.id}", banned=True)).ok()

    async def code(user_id: str, live_id: int = host.live_id) -> CloseCode | None:
        return await server.context.services.room_access.reason_to_close(live_id, user_id)

    assert await code(member.id) is None
    assert await code(left.id) == CloseCode.NOT_A_MEMBER
    assert await code(member.id, 999) == CloseCode.NOT_A_MEMBER
    assert await code(removed.id) == CloseCode.PUT_OUT
    assert await code(banned.id) == CloseCode.PUT_OUT
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert await code(member.id) == CloseCode.ENDED


async def test_user_removed_during_authorization_is_rejected(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    removed = await api.guest("removed", 1, host.live_id)
    read = server.context.stores.rooms.read

    async def read_late(live_id: int) -> Room | None:
        """Removes the user after the membership was read."""
        removal = {"live_id": host.live_id, "user_id": removed.id}
        (await host.post("qlive_room/put_out/", **removal)).ok()
        return await read(live_id)

    monkeypatch.setattr(server.context.stores.rooms, "read", read_late)
    with pytest.raises(RemovedFromRoom):
        await server.context.services.room_access.authorize(host.live_id, removed.id)


async def test_a_room_is_loaded_for_all_its_sockets_while_it_is_live(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, access = await api.host(), server.context.services.room_access
    for_host = await access.load_view(host.live_id, host.id)
    for_all = await access.load_room(host.live_id)
    assert for_all is not None
    assert (for_all.epoch, for_all.version) == (for_host.epoch, for_host.version)
    frames = [await view.snapshot(host.live_id, None) for view in (for_host, for_all)]
    rooms = [json.loads(frame[frame.index(b"{") :])["data"] for frame in frames]
    assert comparable(rooms[0]) == comparable(rooms[1])
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert await access.load_room(host.live_id) is None
    assert await access.load_room(999) is None


async def test_storage_failure_closes_no_socket(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()

    async def unavailable(*_args: object) -> None:
        raise AutoReconnect("unavailable")

    monkeypatch.setattr(server.context.stores.users, "get", unavailable)
    assert await server.context.services.room_access.reason_to_close(host.live_id, host.id) is None


@pytest.mark.parametrize(
    "error", [AutoReconnect("unavailable"), StorageUnavailable(), TryAgain(), KeyError()]
)
def test_server_side_error_lets_the_client_reconnect(error: Exception) -> None:
    assert close_code_for(error) == CloseCode.RESTART
