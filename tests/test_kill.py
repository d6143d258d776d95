"""The server is killed again and again while people act and listen: nobody may notice more than
a pause."""

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from settings import Settings
from tests.examples import rounds
from tests.people import Giver, Listener, Restless, at_once, the_last
from tests.phones import Street
from tests.ports import free_port
from tests.realtime.folding import comparable
from tests.realtime.listening import until
from tests.test_server import Program

pytestmark = [pytest.mark.programs, pytest.mark.linux]

ROUNDS = rounds(3)
GOLD = 100_000
DATABASE = "qlive_test_kill"


class Stage:
    """One server after the other on the same port and data."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await self._program.serve()
        assert self._process.stdout
        await asyncio.wait_for(self._process.stdout.readuntil(b"Ctrl-C stops"), 120)

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@pytest.fixture
def folder(secrets_file: Path, settings: Any, tmp_path: Path) -> Path:
    shutil.copy(secrets_file, tmp_path / "dev-secrets.json")
    return tmp_path


@pytest.fixture
def hasty_mongodb(mongo_uri: str) -> Iterator[None]:
    """A transaction whose server was killed holds its room until MongoDB gives it up, after a
    minute unless it is told otherwise; here after a second."""
    name = "transactionLifetimeLimitSeconds"
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
        was = client.admin.command("setParameter", 1, **{name: 1})["was"]
        yield
        client.admin.command("setParameter", 1, **{name: was})
        client.drop_database(DATABASE)


@pytest.mark.gen_test(timeout=90)
async def test_nobody_misses_anything_when_the_server_is_killed(
    folder: Path, mongo_uri: str, hasty_mongodb: None, settings: tuple[Settings, Any]
) -> None:
    port = free_port()
    where = {"mongodb__uri": mongo_uri, "mongodb__database": DATABASE, "server__port": str(port)}
    stage = Stage(Program(folder, **where))
    street = Street(f"http://127.0.0.1:{port}", settings[0].ops.token)
    try:
        await stage.start()
        await _kill_again_and_again(stage, street)
    finally:
        await street.close()
        await stage.kill()


async def _kill_again_and_again(stage: Stage, street: Street) -> None:
    chance = random.Random(8)
    host = await street.host()
    live_id = host.live_id
    anna = await street.guest("anna", 2, live_id)
    bert, carl = [await street.guest(n, 1, live_id, gold=GOLD) for n in ("bert", "carl")]
    gifts = (await host.get("qlive_gift/")).ok()["results"]
    gift = min(gifts, key=lambda row: row["gold"])
    listeners = [Listener(phone) for phone in (host, anna, bert, carl)]
    givers = [Giver(bert, host, gift["id"]), Giver(carl, anna, gift["id"])]
    restless = Restless(anna)
    async with at_once(*(one.listen() for one in listeners)) as ears:
        await until(lambda: all(one.first for one in listeners))
        async with at_once(*(one.give() for one in givers), restless.wander()) as acts:
            for round_ in range(ROUNDS):
                before = len(givers[0].given), len(givers[1].given), restless.turns
                await asyncio.sleep(chance.uniform(0.05, 0.5))  # at any moment
                await stage.kill()
                await stage.start()
                await until(lambda: all(one.resumed > round_ for one in listeners), 60)  # noqa: B023
                await until(
                    lambda: all(  # everybody got on after the kill
                        now > then
                        for now, then in zip(
                            (len(givers[0].given), len(givers[1].given), restless.turns),
                            before,  # noqa: B023
                            strict=True,
                        )
                    ),
                    10,
                )
            for one in (*givers, restless):
                one.going = False
            await asyncio.wait(acts, timeout=10)
        last = await the_last(street, live_id)
        await until(lambda: all(one.screen.seq >= last["seq"] for one in listeners))
        assert not [task for task in ears if task.done()]
    await _check(street, live_id, listeners, givers, restless, gift["gold"])


async def _check(
    street: Street,
    live_id: int,
    listeners: list[Listener],
    givers: list[Giver],
    restless: Restless,
    price: int,
) -> None:
    last = await the_last(street, live_id)
    for one in listeners:
        assert one.heard == listeners[0].heard[-len(one.heard) :], "the same bytes for all"
        assert one.first["seq"] + len(one.heard) == last["seq"]
        assert one.screen.shown == comparable(last["room"])
    events = [json.loads(text) for text in listeners[0].heard]
    seats = [e["data"]["play_url"] for e in events if e["type"] == "micro_accept"]
    assert restless.seats == list(dict.fromkeys(url.partition("?")[0] for url in seats))
    told = [event["data"]["request_id"] for event in events if event["type"] == "gift"]
    for giver in givers:
        acknowledged = [request_id for request_id, _ in giver.given]
        mine = [request_id for request_id in told if request_id.startswith(giver.phone.name)]
        assert mine == acknowledged
        balances = [gold for _, gold in giver.given]
        assert balances == [GOLD - price * (n + 1) for n in range(len(balances))]
        purse = (await giver.phone.get("qlive_user/get_userinfo/")).ok()
        assert purse["gold"] == GOLD - price * len(mine)
