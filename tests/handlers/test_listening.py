"""Whether somebody who listens still may, as it is asked again and again."""

import pytest
from pymongo.errors import AutoReconnect

from handlers.listening import code_of, may_listen, why_not
from realtime.codes import Code
from rooms.refusals import PutOut, StorageAway, TryAgain
from rooms.room import Room
from server import Server
from tests.phones import Street

a_look = pytest.mark.gen_test(timeout=20)


@a_look
async def test_each_way_of_being_out_has_its_code(street: Street, server: Server) -> None:
    host = await street.host()
    here, left, out, banned = [
        await street.guest(name, 1, host.live_id) for name in ("here", "left", "out", "banned")
    ]
    (await left.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=out.id)).ok()
    (await street.ops("PATCH", f"users/{banned.id}", banned=True)).ok()

    async def code(user_id: str, live_id: int = host.live_id) -> Code | None:
        return await why_not(server.parts, live_id, user_id)

    assert await code(here.id) is None
    assert await code(left.id) == Code.NOT_A_MEMBER
    assert await code(here.id, 999) == Code.NOT_A_MEMBER
    assert await code(out.id) == Code.PUT_OUT
    assert await code(banned.id) == Code.PUT_OUT
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert await code(here.id) == Code.ENDED


@a_look
async def test_whoever_is_put_out_while_it_is_looked_at_may_not_listen(
    street: Street, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await street.host()
    out = await street.guest("out", 1, host.live_id)
    read = server.parts.rooms.read

    async def read_late(live_id: int) -> Room | None:
        """By now their place has been seen."""
        asked = {"live_id": host.live_id, "user_id": out.id}
        (await host.post("qlive_room/put_out/", **asked)).ok()
        return await read(live_id)

    monkeypatch.setattr(server.parts.rooms, "read", read_late)
    with pytest.raises(PutOut):
        await may_listen(server.parts, host.live_id, out.id)


@a_look
async def test_our_own_trouble_closes_nobody(
    street: Street, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await street.host()

    async def away(*_args: object) -> None:
        raise AutoReconnect("not now")

    monkeypatch.setattr(server.parts.users, "get", away)
    assert await why_not(server.parts, host.live_id, host.id) is None


@pytest.mark.parametrize("error", [AutoReconnect("away"), StorageAway(), TryAgain(), KeyError()])
def test_whoever_meets_our_trouble_may_come_back(error: Exception) -> None:
    assert code_of(error) == Code.RESTART
