import pytest

from storage.audit import Audit
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_what_was_asked_for_stands_before_it_is_done(house: House) -> None:
    audit = Audit(house.database)
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
async def test_pages_go_from_the_newest_to_the_oldest(house: House) -> None:
    audit = Audit(house.database)
    made = [str(await audit.begin("ops", "x", "y", "z", n, changes=True)) for n in range(5)]
    newest = await audit.page(None, 2)
    assert [row["id"] for row in newest] == made[:2:-1]
    assert [row["id"] for row in await audit.page(newest[-1]["id"], 10)] == made[2::-1]
    assert len(await audit.page("no id", 10)) == 5


@gen_test
async def test_what_is_looked_for_stands_anywhere_in_an_entry_in_any_case(house: House) -> None:
    audit = Audit(house.database)
    await audit.begin("ops@1", "PATCH OneUser", "10000001", "Spam.", {"banned": True}, changes=True)
    await audit.begin("ops@1", "GET Users", "", "", {"q": "建国"}, changes=False)

    async def found(said: str, *, changes: bool = False) -> list[str]:
        return [row["what"] for row in await audit.page(None, 9, said=said, changes=changes)]

    assert await found("spam.") == ["PATCH OneUser"]
    assert await found("spam*") == []
    assert await found("建国") == ["GET Users"]
    assert await found("BANNED") == await found("1000000") == ["PATCH OneUser"]
    assert await found("ops@1") == ["GET Users", "PATCH OneUser"]
    assert await found("ops@1", changes=True) == await found("", changes=True) == ["PATCH OneUser"]
