"""Reports of lives over HTTP: the host's own, and the operators' list and file."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

from core.clock import CHINA_TZ
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.mic import take_seat

LIVES = "qlive_room/lives/"
COUNTS = ("audience_peak", "audience_total", "applications", "income", "followers", "matches")


async def end(host: ApiClient) -> None:
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()


def counts(report: dict[str, Any]) -> list[Any]:
    return [report[name] for name in COUNTS]


async def test_a_host_reads_what_her_evening_was(api: ApiFixture, db: Any) -> None:
    host = await api.host()
    bert, anna = [
        await api.guest(name, gender, host.live_id, gold=100)
        for name, gender in (("bert", 1), ("anna", 2))
    ]
    for guest in (bert, anna):
        await take_seat(guest)
        (await give(guest, host.id, CANDY, 2)).ok()
    (await give(bert, anna.id, CANDY)).ok()
    [running] = (await host.get(LIVES)).ok()
    assert counts(running)[1:] == [None, 2, 10, 0, 0]
    assert (running["ended_at"], running["reason"]) == (None, "")
    assert running["dates"][0]["to"] is None

    await end(host)
    [report] = (await host.get(LIVES)).ok()
    assert counts(report) == [2, 2, 2, 10, 0, 0]
    assert (report["live_id"], report["reason"]) == (host.live_id, "host")
    [date] = report["dates"]
    times = [report["started_at"], date["from"], date["to"], report["ended_at"]]
    now = datetime.now(UTC).astimezone(CHINA_TZ).replace(tzinfo=None)
    assert times == sorted(times)
    assert times[-1] <= now.isoformat()
    faces = [(date[seat]["user_id"], date[seat]["nickname"]) for seat in ("male", "female")]
    assert faces == [(bert.id, "bert"), (anna.id, "anna")]

    db.users.update_one({"_id": bert.id}, {"$set": {"deleted_at": datetime.now(UTC)}})
    [report] = (await host.get(LIVES)).ok()
    assert report["dates"][0]["male"] is None
    assert (await host.get(LIVES, page=2)).ok() == []
    assert (await anna.get(LIVES)).ok() == []


async def test_operators_search_the_reports_and_download_them(api: ApiFixture) -> None:
    one, two = [await api.host(name) for name in ("one", "two")]
    await end(one)
    rows = (await api.ops("GET", "lives")).ok()
    assert [row["live_id"] for row in rows["items"]] == [two.live_id, one.live_id]
    assert rows["next"] is None
    for query in ({"host_id": one.id}, {"live_id": one.live_id}):
        [row] = (await api.ops("GET", "lives", params=query)).ok()["items"]
        assert (row["host_id"], row["reason"], row["dates"]) == (one.id, "host", 0)
        reply = await api.ops("GET", "lives.csv", params=query)
        assert reply.headers["Content-Disposition"] == 'attachment; filename="lives.csv"'
        [line] = csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"), newline=""))
        assert line.keys() == row.keys()
        assert (line["host_id"], line["dates"], line["audience_total"]) == (one.id, "0", "0")
    assert (await api.ops("GET", "lives", params={"after": "x"})).refusal[0] == 400
