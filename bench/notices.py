"""Measures reads and room changes of others while a host's 100,000 followers are notified.

Run it with `python -m bench.notices`; it starts a MongoDB, a server and the simulator. Requests are
due at a fixed rate, and their latency counts from then. Windows with and without notices alternate.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.calls.servers import Side, running_server
from bench.fixtures import create_live_rooms, create_viewers
from chaos.tencent import SharedTencent
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.embedded_mongod import EmbeddedMongod
from devtools.simulator.wechat import openid_of
from services.accounts.notices import JOB_NAME
from storage.accounts.users import User
from storage.database import Database
from storage.documents import document_of
from tests.support.client import BASE, HttpClient
from tests.support.ports import free_port

DATABASE, TEMPLATE = "bench_notices", "T1"
FOLLOWERS, AGREED_EACH = 100_000, 10
"""One follower in AGREED_EACH has agreed to notices."""
ROOMS, RATE, SECONDS, RUNS = 50, 40, 10, 5
APP = next(iter(Settings().wechat.apps))
CHANGES = ("apply", "refuse")


async def fill(database: Database, host_id: str, tencent: SharedTencent) -> None:
    """Store followers, of whom some have agreed."""
    now, follows, users, consents = datetime.now(UTC), [], [], []
    for number in range(FOLLOWERS):
        user_id = str(20_000_000 + number)
        row = {"_id": f"{host_id}:{user_id}", "by": user_id, "of": host_id, "at": now, "epoch": ""}
        follows.append(row)
        if number % AGREED_EACH == 0:
            openid = openid_of(user_id)
            users.append(document_of(User(user_id, APP, openid, now), "user_id"))
            agreed = {"user_id": user_id, "count": 1, "version": 1}
            consents.append({"_id": f"{user_id}:{TEMPLATE}", **agreed})
            tencent.simulator.notices.consents[openid, TEMPLATE] = 1
    rows = {"follows": follows, "users": users, "notice_consents": consents}
    for name, documents in rows.items():
        await database.collection(name).insert_many(documents)


async def begin(database: Database, live_id: int) -> str:
    """Have the followers of a live notified, as if it had just begun; return its id."""
    room = await database.collection("rooms").find_one({"_id": live_id}) or {}
    live = {"live_id": live_id, "host_id": room["owner"]["person"]["user_id"], "after": ""}
    where, live = {"_id": room["epoch"]}, live | {"started_at": room["started_at"]}
    await database.collection("live_notices").replace_one(where, live, upsert=True)
    return str(room["epoch"])


async def hold(database: Database, until: timedelta) -> None:
    """Keep the server from sending until then."""
    due = {"$set": {"due_at": datetime.now(UTC) + until}}
    await database.collection("job_leases").update_one({"_id": JOB_NAME}, due, upsert=True)


class Load:
    """Users of other rooms, who read and change them at a fixed rate."""

    def __init__(self, address: str, tokens: list[str], live_ids: list[int]) -> None:
        self.http, self._address = HttpClient(), address
        self._users = [*zip(tokens, live_ids, strict=True)]
        self._numbers = itertools.count()

    async def measure(self) -> list[int]:
        """Send for SECONDS; return the p99 of reads and of changes, in ms."""
        times: tuple[list[float], list[float]] = [], []
        started, sending = time.perf_counter(), list[asyncio.Task[None]]()
        for n in range(RATE * SECONDS):
            at = started + n / RATE
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            sending.append(asyncio.create_task(self._send(times[n % 2], at, changes=n % 2 == 1)))
        await asyncio.gather(*sending)
        return [round(1000 * statistics.quantiles(found, n=100)[98]) for found in times]

    async def _send(self, times: list[float], at: float, *, changes: bool) -> None:
        number = next(self._numbers) // 2
        turn, place = divmod(number, len(self._users))
        token, live_id = self._users[place]
        options: dict[str, Any] = {"headers": {"Authorization": f"QLiveToken {token}"}}
        method, path = "GET", "qlive_user/get_userinfo/"
        if changes:
            method, path = "POST", f"qlive_room/{CHANGES[turn % 2]}_micro/"
            options["json"] = {"live_id": live_id}
        reply = await self.http.send(method, f"{self._address}{BASE}{path}", **options)
        assert reply.status == 200, reply
        times.append(time.perf_counter() - at)


def memory(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def main() -> None:
    folder = tempfile.TemporaryDirectory(prefix="qlive-notices-")
    path, port = Path(folder.name), free_port()
    mongod = EmbeddedMongod(path / "mongo")
    uri = await mongod.start()
    database, address = Database(uri, DATABASE), f"http://127.0.0.1:{port}"
    tencent = SharedTencent(*fill_in_secrets(Settings(), path / "dev-secrets.json"), address)
    sent = tencent.simulator.notices.sent
    settings = {"server": {"port": port}, "notices": {"template_id": TEMPLATE}}
    host, *others = await create_live_rooms(uri, DATABASE, ROOMS + 1)
    tokens = await create_viewers(uri, DATABASE, others)
    await fill(database, host.host_id, tencent)
    await hold(database, timedelta(hours=1))
    live = await begin(database, host.live_id)
    side, lives = Side(settings=settings), database.collection("live_notices")
    async with running_server(side, uri, DATABASE, path, tencent.address) as server:
        pid = server.process.pid
        load = Load(address, tokens, [room.live_id for room in others])
        await load.measure()
        first = memory(pid)
        for run in range(RUNS):
            before = await load.measure()
            count, started = len(sent), time.perf_counter()
            await hold(database, timedelta())
            during = await load.measure()
            rate = (len(sent) - count) / (time.perf_counter() - started)
            await hold(database, timedelta(hours=1))
            await asyncio.sleep(1)  # a step may be in progress
            print(f"run {run}, p99 of reads and changes in ms: {before} before, {during} during;")
            print(f"{rate:.1f} notices a second, {memory(pid) - first:+.1f} MB")
        await database.collection("notice_consents").update_many({}, {"$set": {"count": 0}})
        await begin(database, host.live_id)
        started = time.perf_counter()
        await hold(database, timedelta())
        scanning = asyncio.create_task(load.measure())
        while await lives.find_one({"_id": live}):
            await asyncio.sleep(0.1)
        seconds = time.perf_counter() - started
        print(f"{FOLLOWERS} without an agreement: {seconds:.1f} s, p99 {await scanning}")
        await load.http.close()
    await tencent.stop()
    await database.close()
    await mongod.stop()
    folder.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
