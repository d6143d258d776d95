import pytest

from storage.audit import Audit
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_what_was_asked_for_stands_before_it_is_done(house: House) -> None:
    audit = Audit(house.database)
    entry = await audit.begin("ops", "PATCH", "/users/1", "spam", {"banned": True})
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
    made = [str(await audit.begin("ops", "x", "y", "z", n)) for n in range(5)]
    newest = await audit.page(None, 2)
    assert [row["id"] for row in newest] == made[:2:-1]
    assert [row["id"] for row in await audit.page(newest[-1]["id"], 10)] == made[2::-1]
    assert len(await audit.page("no id", 10)) == 5
