"""Links of invitations, on a real MongoDB."""

from datetime import UTC, datetime

from tests.support.storage import StoresFixture

UNTIL = datetime(2026, 12, 2, 16, tzinfo=UTC)


async def test_a_link_is_kept_until_it_expires(stores: StoresFixture) -> None:
    links, rows = stores.invitation_links, stores.rows("invitation_links")
    for link in ("earlier", "later"):
        await links.keep("wx1", link, UNTIL)
    assert await links.find("wx1") == "later"
    assert await links.find("wx2") is None
    assert [row["expires_at"] for row in await rows.find().to_list()] == [UNTIL]
    index = (await rows.index_information())["expires_at_1"]
    assert index["expireAfterSeconds"] == 0
