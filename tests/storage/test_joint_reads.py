"""Documents of several collections read by one command, on a real MongoDB."""

import asyncio

from storage.database import Database, Document


def code_of(row: Document) -> str:
    return str(row["code"])


async def store(database: Database) -> None:
    await database.collection("things").insert_many([{"_id": n, "name": f"n{n}"} for n in (1, 2)])
    colours = [{"_id": 1, "code": "red"}, {"_id": 2, "code": "blue"}, {"_id": 3}]
    await database.collection("colours").insert_many(colours)


async def test_documents_of_several_collections_requested_at_once_are_one_command(
    database: Database, commands: list[str]
) -> None:
    await store(database)
    reads = database.joint_reads
    things, colours = reads.by_id("things", dict), reads.by_id("colours", code_of)
    by_code, nothing = reads.by_id("colours", dict, "code"), reads.by_id("nothing", dict)
    commands.clear()
    found = await asyncio.gather(
        nothing.get(1),
        things.get(1),
        colours.get_many([2, 1, 4]),
        by_code.get("blue"),
        things.read([2, 4], any),
    )
    blue = {"_id": 2, "code": "blue"}
    assert found == [None, {"_id": 1, "name": "n1"}, ["blue", "red", None], blue, True]
    assert commands == ["aggregate"]
    assert await asyncio.gather(colours.get(1), colours.get(2)) == ["red", "blue"]
    assert commands == ["aggregate", "find"], "one collection needs no aggregation"


async def test_a_document_that_cannot_be_parsed_fails_its_requests_only(database: Database) -> None:
    await store(database)
    reads = database.joint_reads
    things, colours = reads.by_id("things", dict), reads.by_id("colours", code_of)
    requests = [colours.get(3), colours.get(2), things.get(2), colours.get_many([3, 2])]
    broken, *found, both = await asyncio.gather(*requests, return_exceptions=True)
    assert found == ["blue", {"_id": 2, "name": "n2"}]
    assert [type(error) for error in (broken, both)] == [KeyError, KeyError]
