"""Times of callbacks by kind, in the database."""

from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.jobs.arrivals import Arrival, ArrivalStore

NOON = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


async def test_the_first_and_the_last_time_are_kept_and_each_hour_counts_once(
    database: Database,
) -> None:
    store = ArrivalStore(database)
    a_minute, an_hour = timedelta(minutes=1), timedelta(hours=1)
    await store.add({"im:a": (NOON, NOON + a_minute), "live:1": (NOON, NOON)})
    await store.add({"im:a": (NOON - a_minute, NOON)})  # by another process, which was late
    await store.add({"im:a": (NOON + an_hour, NOON + an_hour)})
    assert await store.all() == [
        Arrival("im:a", NOON - a_minute, NOON + an_hour, 2),
        Arrival("live:1", NOON, NOON, 1),
    ]


async def test_hours_of_more_than_a_week_ago_are_forgotten(database: Database) -> None:
    store = ArrivalStore(database)
    for hours in range(0, 170, 10):
        at = NOON + timedelta(hours=hours)
        await store.add({"im:a": (at, at)})
    at = NOON + timedelta(days=14)
    assert (await store.all())[0].hours == 17
    await store.add({"im:a": (at, at)})
    assert await store.all() == [Arrival("im:a", NOON, at, 1)]
