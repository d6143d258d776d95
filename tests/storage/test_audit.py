import pytest

from storage.audit import AuditStore
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_request_is_recorded_before_it_is_executed(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    entry = await audit.begin("ops", "PATCH", "/users/1", "spam", {"banned": True}, changes=True)
    (row,) = await audit.page(None, 10)
    assert row.pop("at").tzinfo is not None
    assert row == {
        "id": str(entry),
        "who": "ops",
        "what": "PATCH",
        "on": "/users/1",
        "reason": "spam",
        "asked": {"banned": True},
        "done": False,
    }
    await audit.done(entry)
    assert (await audit.page(None, 10))[0]["done"] is True


@gen_test
async def test_pages_run_from_newest_to_oldest(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    ids = [str(await audit.begin("ops", "x", "y", "z", n, changes=True)) for n in range(5)]
    newest = await audit.page(None, 2)
    assert [row["id"] for row in newest] == ids[:2:-1]
    assert [row["id"] for row in await audit.page(newest[-1]["id"], 10)] == ids[2::-1]
    assert len(await audit.page("no id", 10)) == 5


@gen_test
async def test_search_matches_any_part_of_an_entry_ignoring_case(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    await audit.begin("ops@1", "PATCH OneUser", "10000001", "Spam.", {"banned": True}, changes=True)
    await audit.begin("ops@1", "GET Users", "", "", {"q": "建国"}, changes=False)

    async def found(text: str, *, changes: bool = False) -> list[str]:
        return [row["what"] for row in await audit.page(None, 9, search=text, changes=changes)]

    assert await found("spam.") == ["PATCH OneUser"]
    assert await found("spam*") == []
    assert await found("建国") == ["GET Users"]
    assert await found("BANNED") == await found("1000000") == ["PATCH OneUser"]
    assert await found("ops@1") == ["GET Users", "PATCH OneUser"]
    assert await found("ops@1", changes=True) == await found("", changes=True) == ["PATCH OneUser"]
