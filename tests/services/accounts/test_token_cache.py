from types import SimpleNamespace
from typing import Any

from realtime.bus import Bus, TokenRevoked
from runtime.process import ServerProcess
from services.accounts.sessions import CACHED_SECONDS, SessionService
from storage.documents import token_id
from tests.support.api import ApiFixture
from tests.support.tencent import Clock

NOT_USED: Any = None


class TokenCacheFixture:
    """Sessions of a store, which it stands in for."""

    def __init__(self) -> None:
        self.owners, self.reads, self.bus = {"a": "10000001"}, 0, Bus()
        stores: Any = SimpleNamespace(tokens=self)
        self.cache = SessionService(stores, self.bus, NOT_USED)

    async def user_id_of(self, token: str) -> str | None:
        self.reads += 1
        return self.owners.get(token)


async def test_a_token_is_read_once_until_it_is_revoked_or_half_a_minute_old(clock: Clock) -> None:
    fixture = TokenCacheFixture()
    for reads in (1, 2):
        assert [await fixture.cache.cached_user_id("a") for _ in range(3)] == ["10000001"] * 3
        assert fixture.reads == reads
        clock.now += CACHED_SECONDS
    await fixture.cache.cached_user_id("a")
    del fixture.owners["a"]
    fixture.bus.publish(TokenRevoked(token_id("a")))
    assert await fixture.cache.cached_user_id("a") is None
    fixture.owners["a"] = "10000002"
    assert await fixture.cache.cached_user_id("a") == "10000002", "an unknown one is not cached"


async def test_tokens_are_read_again_after_a_gap_and_each_time_while_the_bus_is_down() -> None:
    fixture = TokenCacheFixture()
    await fixture.cache.cached_user_id("a")
    for gaps, healthy, reads in ((1, True, 2), (1, True, 2), (1, False, 3), (1, False, 4)):
        fixture.bus.gaps, fixture.bus.healthy = gaps, healthy
        await fixture.cache.cached_user_id("a")
        assert fixture.reads == reads


async def test_endpoints_that_change_data_read_the_token_from_the_database(
    api: ApiFixture, server: ServerProcess
) -> None:
    """A revocation lost by the bus permits no change."""
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await anna.get("get_livelist/")).ok()
    await server.context.stores.tokens.revoke(anna.token)
    (await anna.get("get_livelist/")).ok()
    applied = await anna.post("qlive_room/apply_micro/", live_id=host.live_id)
    assert applied.refusal == (401, "token")
