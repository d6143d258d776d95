"""Blocks between users, read by two processes."""

from storage.database import Database
from storage.moderation import FREE_SECONDS, UserBlockStore
from tests.support.tencent import Clock


async def test_a_block_is_seen_at_once_here_and_half_a_second_later_elsewhere(
    database: Database, clock: Clock
) -> None:
    here, elsewhere = UserBlockStore(database), UserBlockStore(database)
    for store in (here, elsewhere):
        for other in ("bert", "carl", "dora"):
            assert not await store.are_apart("anna", other)
    await here.put("dora", "anna")
    assert await here.are_apart("anna", "dora")
    assert not await elsewhere.are_apart("anna", "dora")
    clock.now += FREE_SECONDS
    assert await elsewhere.are_apart("anna", "dora")
    await here.drop("dora", "anna")
    assert not await elsewhere.are_apart("anna", "dora")
