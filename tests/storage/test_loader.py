import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from bson.errors import InvalidDocument
from tornado.ioloop import IOLoop

from storage.database import Collection, Database, Document
from storage.loader import Loader
from tests.realtime.listening import until

gen_test = pytest.mark.gen_test(timeout=60)


@dataclass(frozen=True)
class Library:
    """Two things to be read, a loader of them, and the commands that it takes."""

    things: Collection
    loader: Loader[Document]
    commands: list[str]

    async def fill(self) -> None:
        await self.things.insert_many([{"_id": 1, "name": "one"}, {"_id": 2, "name": "two"}])
        self.commands.clear()

    def ask(self, *keys: object) -> list[asyncio.Task[Document | None]]:
        """All in this turn of the loop."""
        return [asyncio.ensure_future(self.loader.get(key)) for key in keys]

    @property
    def finds(self) -> int:
        return self.commands.count("find")


@pytest.fixture
def library(io_loop: IOLoop, database: Database, commands: list[str]) -> Library:
    things = database.collection("things")
    library = Library(things, Loader(things, dict), commands)
    io_loop.run_sync(library.fill)
    return library


def names(rows: list[Document | None]) -> list[Any]:
    return [row and row["name"] for row in rows]


@gen_test
async def test_what_is_asked_for_in_one_turn_is_one_query_and_each_gets_its_own(
    library: Library,
) -> None:
    asked = library.ask(1, 2, 3, 1)
    assert names(await asyncio.gather(*asked)) == ["one", "two", None, "one"]
    assert library.commands == ["find"]


@gen_test
async def test_a_document_is_whole(library: Library) -> None:
    assert await library.loader.get(1) == {"_id": 1, "name": "one"}


@gen_test
async def test_what_is_asked_for_in_a_later_turn_is_read_later(library: Library) -> None:
    assert names(await asyncio.gather(*library.ask(1))) == ["one"]
    await library.things.update_one({"_id": 1}, {"$set": {"name": "another"}})
    assert names(await asyncio.gather(*library.ask(1))) == ["another"]
    assert library.finds == 2


@gen_test
async def test_who_asks_while_others_are_being_answered_does_not_get_their_answer(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()
    read = library.loader._read

    async def read_slowly(asked: Any) -> None:
        reading.set()
        await go_on.wait()
        await read(asked)

    monkeypatch.setattr(library.loader, "_read", read_slowly)
    (early,) = library.ask(1)
    await reading.wait()
    monkeypatch.undo()
    assert names(await asyncio.gather(*library.ask(1))) == ["one"]
    assert not early.done()
    go_on.set()
    assert names([await early]) == ["one"]
    assert library.finds == 2


@gen_test
async def test_while_two_queries_are_under_way_others_wait_and_leave_together(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    read = library.loader._read

    async def read_slowly(asked: Any) -> None:
        await go_on.wait()
        await read(asked)

    monkeypatch.setattr(library.loader, "_read", read_slowly)
    asked: list[asyncio.Task[Document | None]] = []
    for key in (1, 2, 1, 3, 2):  # each in a turn of its own
        asked += library.ask(key)
        for _ in range(3):
            await asyncio.sleep(0)
    go_on.set()
    assert names(await asyncio.gather(*asked)) == ["one", "two", "one", None, "two"]
    assert library.finds == 3


@gen_test
async def test_an_error_is_told_to_everybody_who_asked_and_to_nobody_later(
    library: Library,
) -> None:
    done = await asyncio.gather(*library.ask(1, object(), 2), return_exceptions=True)
    assert [type(it) for it in done] == [InvalidDocument] * 3
    assert names(await asyncio.gather(*library.ask(1, 2))) == ["one", "two"]


@pytest.mark.parametrize("key", [1, object()], ids=["a document", "an error"])
@gen_test
async def test_who_goes_away_disturbs_nobody(library: Library, key: object) -> None:
    gone, stays = library.ask(key, key)
    await asyncio.sleep(0)
    gone.cancel()
    (answer,) = await asyncio.gather(stays, return_exceptions=True)
    assert isinstance(answer, dict if key == 1 else InvalidDocument)
    assert gone.cancelled()


@gen_test
async def test_when_all_have_gone_away_the_next_is_answered(library: Library) -> None:
    gone = library.ask(1, 2)
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    assert names(await asyncio.gather(*library.ask(2))) == ["two"]
    await until(lambda: not library.loader._reading)


@gen_test
async def test_a_document_that_cannot_be_read_is_the_trouble_of_those_who_asked_for_it(
    library: Library,
) -> None:
    def make(row: Document) -> str:
        if row["_id"] == 2:
            raise KeyError("name")
        return str(row["name"])

    loader = Loader(library.things, make)
    asked = [asyncio.ensure_future(loader.get(key)) for key in (1, 2, 3, 2, 1)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(it) for it in done] == [str, KeyError, type(None), KeyError, str]
