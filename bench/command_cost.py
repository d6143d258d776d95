"""What a read costs the process, and what its parts would save: python -m bench.command_cost.

Reads hot documents in several ways, in turns within one process, and parses them as the stores do.
The CPU time is that of the process, thus of PyMongo, BSON and the event loop, without mongod.
"""

import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bson
import uvloop
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from bench.fixtures import create_live_rooms, create_viewers
from devtools.embedded_mongod import EmbeddedMongod
from rooms.members import Person
from runtime import gc_tuning
from storage.database import Collection, CommandLatency, Database, Document
from storage.members import MemberStore, member_from
from storage.outbox import OutboxStore
from storage.rooms import LOG_SIZE, RoomStore, room_from
from storage.users import user_from
from telemetry.metrics import Metrics

ROUNDS, CALLS = 60, 20
ROOMS, APPLICANTS = 16, 4
"""Rooms of the aggregation; each has applications and a full log."""
DATABASE = "bench_command_cost"
AS_IS = "as the stores do it"
CONTROL = "the same, as a control"
PLAIN: CodecOptions[Any] = CodecOptions(tz_aware=True)
RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument, tz_aware=True)

Rows = Iterable[Mapping[str, Any]]
Call = Callable[[], Awaitable[object]]
Send = Callable[..., Awaitable[Sequence[Document]]]
"""Called with the collection and PyMongo's options."""


class Read(NamedTuple):
    """A query of hot documents, how it is sent and how its rows are parsed."""

    command: Document
    """As a plain command, whose first field is its name and collection."""
    send: Send
    parse: Callable[[Rows], object]
    others: Mapping[str, Send] = {}
    """Other ways to send it."""


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="qlive-bench-") as name:
        mongod = EmbeddedMongod(Path(name))
        try:
            uri = await mongod.start()
            live_ids, user_ids = await _create_documents(uri)
            await _compare(uri, _reads(live_ids, user_ids))
        finally:
            await mongod.stop()


async def _create_documents(uri: str) -> tuple[list[int], list[str]]:
    """Live rooms with applicants and full logs; returns live_ids, and an applicant of each."""
    rooms = await create_live_rooms(uri, DATABASE, ROOMS)
    await create_viewers(uri, DATABASE, [room for room in rooms for _ in range(APPLICANTS)])
    user_ids = [str(10_000_001 + n) for n in range(ROOMS * APPLICANTS)]
    database = Database(uri, DATABASE)
    members = MemberStore(database)
    store = RoomStore(database, members, OutboxStore(database), drops_streams=False)
    for n, room in enumerate(rooms):
        applicants = user_ids[n * APPLICANTS : (n + 1) * APPLICANTS]
        loaded = await store.load(room.live_id, applicants)
        assert loaded
        for user_id in applicants:
            loaded.apply(Person(user_id, f"n{user_id}", gender=1), room.started_at, 600)
        await store.save(loaded, loaded.numbered(room.started_at))
    event = {"seq": 1, "ts": 1, "type": "profile", "data": {"text": "x" * 200}}
    log = {f"log.{n}": event for n in range(LOG_SIZE)}
    await database.collection("rooms").update_many({}, {"$set": log})
    await database.close()
    return [room.live_id for room in rooms], user_ids[::APPLICANTS]


def _reads(live_ids: list[int], user_ids: list[str]) -> dict[str, Read]:
    return {
        "find one room": _find("rooms", live_ids[:1], room_from, {"log": 0}),
        "find one user": _find("users", user_ids[:1], user_from),
        "find 16 users": _find("users", user_ids, user_from),
        "aggregate 16 rooms": _aggregate(live_ids, user_ids),
    }


def _find(
    name: str, ids: Sequence[object], parse: Callable[[Any], object], projection: Any = None
) -> Read:
    """As storage/documents.py reads by `_id`."""
    where = {"_id": {"$in": [*ids]}}

    async def send(collection: Collection, **options: Any) -> list[Document]:
        return await collection.find(where, projection, **options).to_list()

    command = {"find": name, "filter": where, "projection": projection or {}}
    return Read(command, send, lambda rows: [parse(row) for row in rows])


def _aggregate(live_ids: list[int], user_ids: list[str]) -> Read:
    """As storage/rooms.py loads rooms, with a membership of each."""
    members = [{"$match": {"_id": {"$in": user_ids}}}]
    steps: list[Document] = [
        {"$match": {"_id": {"$in": live_ids}}},
        {"$unset": "log"},
        {"$set": {"read_at": {"$toLong": "$$NOW"}}},
        {"$unionWith": {"coll": "members", "pipeline": members}},
    ]

    async def send(collection: Collection, **options: Any) -> list[Document]:
        return [row async for row in await collection.aggregate(steps, **options)]

    async def send_to_list(collection: Collection) -> list[Document]:
        return await (await collection.aggregate(steps)).to_list()

    command = {"aggregate": "rooms", "pipeline": steps, "cursor": {}}
    return Read(command, send, _rooms_and_members, {"cursor read by to_list": send_to_list})


def _rooms_and_members(rows: Rows) -> list[object]:
    parse: dict[type, Callable[[Any], object]] = {str: member_from, int: room_from}
    return [parse[type(row["_id"])](row) for row in rows]


async def _compare(uri: str, reads: Mapping[str, Read]) -> None:
    database = Database(uri, DATABASE, [CommandLatency(Metrics().observe_mongo)])
    unobserved = Database(uri, DATABASE)
    session = database.client.start_session(causal_consistency=False)
    try:
        for name, read in reads.items():
            variants = _variants(read, database, unobserved, session)
            for call in variants.values():
                await _cpu_seconds(call)  # warm-up
            gc_tuning.freeze_startup_objects()
            _print(name, await _alternate(variants))
    finally:
        await session.end_session()
        await unobserved.close()
        await database.close()


def _variants(
    read: Read, database: Database, unobserved: Database, session: AsyncClientSession
) -> dict[str, Call]:
    name = next(iter(read.command.values()))
    collection = database.collection(name)
    raw: Any = collection.with_options(codec_options=RAW)
    fixed = collection.with_options(PLAIN, read_concern=ReadConcern("majority"))
    no_concern = collection.with_options(read_concern=ReadConcern())

    def sent(collection: Collection, send: Send = read.send, **options: Any) -> Call:
        async def call() -> object:
            return read.parse(await send(collection, **options))

        return call

    async def raw_decoded() -> object:
        rows: Sequence[Any] = await read.send(raw)
        return read.parse([bson.decode(row.raw, PLAIN) for row in rows])

    async def plain_command() -> object:
        command = {**read.command, "readConcern": {"level": "majority"}}
        reply = await collection.database.command(command, codec_options=PLAIN)
        return read.parse(reply["cursor"]["firstBatch"])

    return {
        AS_IS: sent(collection),
        CONTROL: sent(collection),
        "raw BSON, parsed fields decoded": sent(raw),
        "raw BSON, decoded whole": raw_decoded,
        "codec options and read concern given": sent(fixed),
        "without a read concern": sent(no_concern),
        "plain command": plain_command,
        "one session for all": sent(collection, session=session),
        "without the listener": sent(unobserved.collection(name)),
        **{other: sent(collection, send) for other, send in read.others.items()},
    }


async def _alternate(variants: Mapping[str, Call]) -> dict[str, list[float]]:
    """CPU seconds of each block, by variant; the order of the variants changes by round."""
    taken: dict[str, list[float]] = defaultdict(list)
    names = list(variants)
    for _ in range(ROUNDS):
        random.shuffle(names)
        for name in names:
            taken[name].append(await _cpu_seconds(variants[name]))
    return {name: taken[name] for name in variants}


async def _cpu_seconds(call: Call) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return time.process_time() - started


def _print(name: str, taken: Mapping[str, Sequence[float]]) -> None:
    for variant, seconds in taken.items():
        microseconds = [it / CALLS * 1e6 for it in seconds]
        relative = [a / b for a, b in zip(seconds, taken[AS_IS], strict=True)]
        print(
            f"{name:18}  {variant:36}  {_quartiles(microseconds, 0):18} µs"
            f"  {_quartiles(relative, 3)}"
        )


def _quartiles(values: Sequence[float], digits: int) -> str:
    lower, median, upper = statistics.quantiles(values, n=4)
    return f"{median:.{digits}f} ({lower:.{digits}f} to {upper:.{digits}f})"


if __name__ == "__main__":
    uvloop.run(main())
