"""A server that is killed repeatedly under load loses and repeats nothing."""

import asyncio
import json
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config.settings import Settings
from realtime.close_codes import CloseCode
from tests.support.api import ApiFixture
from tests.support.hypothesis_profiles import repetitions
from tests.support.ports import free_port
from tests.support.room_screen import comparable
from tests.support.server_program import RestartableServer, ServerProgram
from tests.support.users import Listener, RepeatingGiver, SeatHopper, room_state, run_concurrently
from tests.support.waiting import WAIT_SECONDS, until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

REPETITIONS = repetitions(3)
GOLD = 100_000
DATABASE = "qlive_test_kill"


@pytest.fixture
def empty_database(mongo_uri: str) -> Iterator[None]:
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
        yield
        client.drop_database(DATABASE)


@pytest.mark.gen_test(timeout=90)
async def test_killed_server_loses_and_repeats_no_event_and_no_gift(
    data_folder: Path, mongo_uri: str, empty_database: None, settings: tuple[Settings, Any]
) -> None:
    port = free_port()
    own = {"mongodb__uri": mongo_uri, "mongodb__database": DATABASE, "server__port": str(port)}
    server = RestartableServer(ServerProgram(data_folder, **own))
    api = ApiFixture(f"http://127.0.0.1:{port}")
    try:
        await server.start()
        await _kill_repeatedly(server, api)
    finally:
        await api.close()
        await server.stop(signal.SIGKILL)


async def _kill_repeatedly(server: RestartableServer, api: ApiFixture) -> None:
    random_ = random.Random(8)
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    bert, carl = [await api.guest(name, 1, host.live_id, gold=GOLD) for name in ("bert", "carl")]
    gifts = (await host.get("qlive_gift/")).ok()["results"]
    gift = min(gifts, key=lambda row: row["gold"])
    # A process that is killed within a transaction leaves its locks for up to 7 s, longer than a
    # command may take: a socket is then told to connect again.
    listeners = [Listener(client, CloseCode.RESTART) for client in (host, anna, bert, carl)]
    givers = [RepeatingGiver(bert, host, gift["id"]), RepeatingGiver(carl, anna, gift["id"])]
    hopper = SeatHopper(anna)

    def progress() -> list[int]:
        return [*(len(giver.given) for giver in givers), hopper.rounds]

    def has_advanced(before: list[int]) -> bool:
        return all(now > then for now, then in zip(progress(), before, strict=True))

    def has_resumed(times: int) -> bool:
        return all(listener.resumed >= times for listener in listeners)

    async with run_concurrently(*(listener.listen() for listener in listeners)) as listen_tasks:
        await until(lambda: all(listener.first for listener in listeners))
        acting = (*(giver.give() for giver in givers), hopper.run())
        async with run_concurrently(*acting) as act_tasks:
            for kills in range(1, REPETITIONS + 1):
                before = progress()
                await asyncio.sleep(random_.uniform(0.05, 0.5))  # a kill at any moment
                await server.stop(signal.SIGKILL)
                await server.start()
                await until(partial(has_resumed, kills))
                await until(partial(has_advanced, before))
            for user in (*givers, hopper):
                user.active = False
            _, unfinished = await asyncio.wait(act_tasks, timeout=WAIT_SECONDS)
            assert not unfinished
        last_seq = (await room_state(api, host.live_id))["seq"]
        await until(lambda: all(listener.screen.seq >= last_seq for listener in listeners))
        assert not [task for task in listen_tasks if task.done()]
    await _check_listeners(api, host.live_id, listeners)
    events = [json.loads(text) for text in listeners[0].received]
    _check_seats(events, hopper)
    for giver in givers:
        await _check_gifts(events, giver, gift["gold"])


async def _check_listeners(api: ApiFixture, live_id: int, listeners: list[Listener]) -> None:
    state = await room_state(api, live_id)
    longest = listeners[0].received
    for listener in listeners:
        assert listener.received == longest[-len(listener.received) :], "the same bytes for all"
        assert listener.first["seq"] + len(listener.received) == state["seq"]
        assert listener.screen.shown == comparable(state["room"])


def _check_seats(events: list[dict[str, Any]], hopper: SeatHopper) -> None:
    urls = [event["data"]["play_url"] for event in events if event["type"] == "micro_accept"]
    assert hopper.seats == list(dict.fromkeys(url.partition("?")[0] for url in urls))


async def _check_gifts(events: list[dict[str, Any]], giver: RepeatingGiver, price: int) -> None:
    published = [event["data"]["request_id"] for event in events if event["type"] == "gift"]
    own = [request_id for request_id in published if request_id.startswith(giver.client.name)]
    assert own == [request_id for request_id, _ in giver.given]
    balances = [gold for _, gold in giver.given]
    assert balances == [GOLD - price * (n + 1) for n in range(len(balances))]
    profile = (await giver.client.get("qlive_user/get_userinfo/")).ok()
    assert profile["gold"] == GOLD - price * len(own)
