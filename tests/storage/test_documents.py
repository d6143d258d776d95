import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from bson.errors import InvalidDocument
from tornado.ioloop import IOLoop

from core.batching import BatchLoader
from storage.database import Collection, Database, Document
from storage.documents import documents_by_id
from tests.support.waiting import until


@dataclass(frozen=True)
class LoaderFixture:
    """A collection of two documents, its loader, and the commands sent to MongoDB."""

    collection: Collection
    loader: BatchLoader[Document]
    commands: list[str]

    async def fill(self) -> None:
        await self.collection.insert_many([{"_id": 1, "name": "one"}, {"_id": 2, "name": "two"}])
        self.commands.clear()

    def request(self, *keys: object) -> list[asyncio.Future[Document | None]]:
        """Requests all keys in the same turn of the event loop."""
        return [asyncio.ensure_future(self.loader.get(key)) for key in keys]

    @property
    def finds(self) -> int:
        return self.commands.count("find")


@pytest.fixture
def fixture(io_loop: IOLoop, database: Database, commands: list[str]) -> LoaderFixture:
    collection = database.collection("things")
    fixture = LoaderFixture(collection, documents_by_id(collection, dict), commands)
    io_loop.run_sync(fixture.fill)
    return fixture


def names(rows: list[Document | None]) -> list[Any]:
    return [row and row["name"] for row in rows]


async def test_requests_of_one_loop_turn_share_a_query(fixture: LoaderFixture) -> None:
    requests = fixture.request(1, 2, 3, 1)
    assert names(await asyncio.gather(*requests)) == ["one", "two", None, "one"]
    assert fixture.commands == ["find"]


async def test_document_has_all_its_fields(fixture: LoaderFixture) -> None:
    assert await fixture.loader.get(1) == {"_id": 1, "name": "one"}


async def test_request_of_a_later_turn_reads_again(fixture: LoaderFixture) -> None:
    assert names(await asyncio.gather(*fixture.request(1))) == ["one"]
    await fixture.collection.update_one({"_id": 1}, {"$set": {"name": "another"}})
    assert names(await asyncio.gather(*fixture.request(1))) == ["another"]
    assert fixture.finds == 2


async def test_request_during_a_query_does_not_share_its_result(
    fixture: LoaderFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, proceed = asyncio.Event(), asyncio.Event()
    read = fixture.loader._answer

    async def read_slowly(requests: Any) -> None:
        reading.set()
        await proceed.wait()
        await read(requests)

    monkeypatch.setattr(fixture.loader, "_answer", read_slowly)
    (early,) = fixture.request(1)
    await reading.wait()
    monkeypatch.undo()
    assert names(await asyncio.gather(*fixture.request(1))) == ["one"]
    assert not early.done()
    proceed.set()
    assert names([await early]) == ["one"]
    assert fixture.finds == 2


async def test_requests_during_two_queries_wait_and_share_the_third(
    fixture: LoaderFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed = asyncio.Event()
    read = fixture.loader._answer

    async def read_slowly(requests: Any) -> None:
        await proceed.wait()
        await read(requests)

    monkeypatch.setattr(fixture.loader, "_answer", read_slowly)
    requests: list[asyncio.Future[Document | None]] = []
    for key in (1, 2, 1, 3, 2):  # each in a turn of the loop of its own
        requests += fixture.request(key)
        for _ in range(3):
            await asyncio.sleep(0)
    proceed.set()
    assert names(await asyncio.gather(*requests)) == ["one", "two", "one", None, "two"]
    assert fixture.finds == 3


async def test_query_error_reaches_only_the_requests_of_its_batch(fixture: LoaderFixture) -> None:
    results = await asyncio.gather(*fixture.request(1, object(), 2), return_exceptions=True)
    assert [type(it) for it in results] == [InvalidDocument] * 3
    assert names(await asyncio.gather(*fixture.request(1, 2))) == ["one", "two"]


@pytest.mark.parametrize("key", [1, object()], ids=["a document", "an error"])
async def test_cancelled_request_does_not_affect_others(
    fixture: LoaderFixture, key: object
) -> None:
    cancelled, other = fixture.request(key, key)
    await asyncio.sleep(0)
    cancelled.cancel()
    (answer,) = await asyncio.gather(other, return_exceptions=True)
    assert isinstance(answer, dict if key == 1 else InvalidDocument)
    assert cancelled.cancelled()


async def test_request_after_a_fully_cancelled_batch_is_answered(fixture: LoaderFixture) -> None:
    cancelled = fixture.request(1, 2)
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    assert names(await asyncio.gather(*fixture.request(2))) == ["two"]
    await until(lambda: not fixture.loader._loading)


async def test_conversion_error_reaches_only_requests_for_that_document(
    fixture: LoaderFixture,
) -> None:
    def convert(row: Document) -> str:
        if row["_id"] == 2:
            raise KeyError("name")
        return str(row["name"])

    loader = documents_by_id(fixture.collection, convert)
    requests = [asyncio.ensure_future(loader.get(key)) for key in (1, 2, 3, 2, 1)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(it) for it in results] == [str, KeyError, type(None), KeyError, str]


async def test_several_documents_are_read_in_order_with_those_of_others(
    fixture: LoaderFixture,
) -> None:
    answers = asyncio.gather(
        fixture.loader.get_many([2, 3, 1]), fixture.loader.get(1), fixture.loader.get_many([])
    )
    several, one, none = await answers
    assert names(several) == ["two", None, "one"]
    assert one is several[2]
    assert none == []
    assert fixture.commands == ["find"]


async def test_no_document_needs_no_query(fixture: LoaderFixture) -> None:
    assert await fixture.loader.get_many([]) == []
    assert fixture.commands == []


async def test_conversion_error_of_one_document_fails_those_who_read_it_with_others(
    fixture: LoaderFixture,
) -> None:
    loader = documents_by_id(fixture.collection, lambda row: {1: "one"}[row["_id"]])
    results = await asyncio.gather(
        loader.get_many([1, 2]), loader.get_many([1, 3]), return_exceptions=True
    )
    assert isinstance(results[0], KeyError)
    assert results[1] == ["one", None]
