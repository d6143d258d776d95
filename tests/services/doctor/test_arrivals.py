"""What has arrived: few writes, a bounded number of kinds, and those that stay away."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import ConnectionFailure

from services.doctor.arrivals import ArrivalService, missing
from storage.database import Database
from storage.jobs.arrivals import Arrival, ArrivalStore
from telemetry.metrics import Metrics

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BUSY, RESTS_AT_NIGHT = 168, 140
JUST_NOW = Arrival("live:1", NOW, NOW, 1)


def arrival(hours_ago: float, hours: int = BUSY) -> Arrival:
    return Arrival("im:a", NOW - timedelta(days=30), NOW - timedelta(hours=hours_ago), hours)


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([JUST_NOW, arrival(7)], {"im:a": 7 * 3600.0}),
        ([JUST_NOW, arrival(5)], {}),
        ([JUST_NOW, arrival(7, RESTS_AT_NIGHT)], {}),
        ([JUST_NOW, arrival(24 * 8)], {}),  # the company does without it
        ([arrival(7)], {}),
        ([], {}),
    ],
)
def test_a_kind_is_missing_if_it_never_rested_and_others_come(
    rows: list[Arrival], kinds: dict[str, float]
) -> None:
    assert missing(rows, NOW) == kinds


async def test_a_kind_is_written_once_for_many_callbacks_and_unknown_ones_share_a_document(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writes = ArrivalStore(database), []
    add = store.add

    async def counted(times):
        writes.append(sorted(times))
        await add(times)

    monkeypatch.setattr(store, "add", counted)
    service = ArrivalService(store, Metrics())
    for n in range(5):
        service.note("im", "State.StateChange")
        service.note("push", f"unknown_{n}")
    await service.flush()
    await service.flush()
    assert writes == [["im:State.StateChange", "push:other"]]
    assert [row.kind for row in await store.all()] == writes[0]


async def test_what_could_not_be_stored_is_stored_later_with_its_first_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArrivalStore(database)
    service, before = ArrivalService(store, Metrics()), datetime.now(UTC)

    async def fail(_times):
        service.note("live", "1")  # while the write is under way
        raise ConnectionFailure

    service.note("live", "1")
    with monkeypatch.context() as patch:
        patch.setattr(store, "add", fail)
        with pytest.raises(ConnectionFailure):
            await service.flush()
    await service.run()
    (row,) = await store.all()
    assert before - timedelta(seconds=1) < row.first_at <= row.last_at
    assert row.kind == "live:1"
