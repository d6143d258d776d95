"""An operator's changes of a user and their effects."""

import pytest

from runtime.process import ServerProcess
from storage.errors import UserNotFound
from tests.support.api import ApiFixture

server_test = pytest.mark.gen_test(timeout=20)


@server_test
async def test_banned_user_leaves_the_room_and_the_reason_ends_with_the_ban(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    moderation, stores = server.context.services.moderation, server.context.stores
    banned = await moderation.change_user(bert.id, {"banned": True, "ban_reason": "rude"})
    assert (banned.banned, banned.ban_reason) == (True, "rude")
    assert await stores.members.get(bert.id) is None
    free = await moderation.change_user(bert.id, {"banned": False})
    assert (free.banned, free.ban_reason) == (False, "")


@server_test
async def test_matchmaker_who_loses_the_role_stops_hosting(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    moderation, stores = server.context.services.moderation, server.context.stores
    assert not (await moderation.change_user(host.id, {"is_matchmaker": False})).is_matchmaker
    assert await stores.members.get(host.id) is None
    room = await server.context.keeper.load(host.live_id)
    assert not room.live


@server_test
async def test_no_changes_return_the_stored_user(api: ApiFixture, server: ServerProcess) -> None:
    anna = await api.user("anna", 2)
    moderation = server.context.services.moderation
    assert (await moderation.change_user(anna.id, {})).nickname == "anna"
    with pytest.raises(UserNotFound):
        await moderation.change_user("10000000", {})
