"""Deputies under concurrent requests, on a real MongoDB."""

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.races import run_after


async def test_a_block_during_the_naming_ends_it_at_once(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)

    async def block() -> None:
        (await bert.post("qlive_user/block/", user_id=host.id, blocked=True)).ok()

    run_after(server.context.services.moderation.user_safety, "check_pair", block)
    named = await host.post("qlive_room/deputy/", user_id=bert.id, on=1)
    assert named.refusal == (403, "blocked")
    assert await server.context.stores.rooms.staffed_by(bert.id) == []
