"""Links of invitations, on a real MongoDB."""

from datetime import UTC, date, datetime

from tests.support.storage import StoresFixture

DAY, UNTIL = date(2026, 12, 1), datetime(2026, 12, 2, 16, tzinfo=UTC)


async def test_a_link_is_kept_for_each_app_page_and_day(stores: StoresFixture) -> None:
    links = stores.invitation_links
    assert await links.find("wx1", "a/b", DAY) is None
    for link in ("earlier", "later"):
        await links.keep("wx1", "a/b", DAY, link, UNTIL)
    assert await links.find("wx1", "a/b", DAY) == "later"
    for other in (("wx2", "a/b", DAY), ("wx1", "a/c", DAY), ("wx1", "a/b", date(2026, 12, 2))):
        assert await links.find(*other) is None
    [row] = await stores.rows("invitation_links").find().to_list()
    assert row["expires_at"] == UNTIL


async def test_mongodb_deletes_a_link_when_it_expires(stores: StoresFixture) -> None:
    indexes = await stores.rows("invitation_links").index_information()
    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0
