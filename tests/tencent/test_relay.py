"""The relay on a real MongoDB, speaking to the simulator over HTTP; rooms are in memory."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from rooms.events import Numbered
from storage.database import Database
from storage.relays import Relays
from tencent import relay as module
from tencent.im import IM
from tencent.relay import Relay, back_off
from tencent.relay_ports import Group
from tencent.spokesman import LEASE, PER_SECOND
from tencent.usersig import UserSigs

a_relay = pytest.mark.gen_test(timeout=60)

NAME = "qlive_test_relay"
HOST, GUEST = "9", "1"
LOG = 256


def face(user_id: str) -> dict:
    return {"user_id": user_id, "nickname": user_id, "face_url": "", "gender": 1}


def accepted(user_id: str) -> dict:
    return {**face(user_id), "play_url": f"https://play/{user_id}", "area": "", "age": 20}


class Rooms:
    """Rooms with their logs; a log keeps the last 256 events."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.logs: dict[int, list[Numbered]] = {}
        self.epochs: dict[int, str] = {}
        self.num_list = [0, 0, 0, 0]
        self.on_mic: list[dict] = []

    def open(self, live_id: int, epoch: str) -> None:
        self.epochs[live_id], self.logs[live_id] = epoch, []

    def say(self, live_id: int, type_: str, data: dict | None = None) -> list[Numbered]:
        if live_id not in self.epochs:
            self.open(live_id, "e1")
        rows, now = self.logs[live_id], int(self.clock() * 1000)
        event = Numbered(self.epochs[live_id], len(rows) + 1, now, type_, data or face(GUEST))
        rows.append(event)
        return [event]

    def gifts(self, live_id: int, count: int) -> list[Numbered]:
        """`count` gifts that show their number in the log."""
        told: list[Numbered] = []
        for _ in range(count):
            shown = {"id": len(self.logs.get(live_id, ())) + 1, "name": "", "image": ""}
            told += self.say(live_id, "gift", {"gift": shown, "num": 1})
        return told

    async def log_since(self, live_id: int, epoch: str, seq: int) -> list[Numbered] | None:
        rows = self.logs[live_id]
        kept = max(0, len(rows) - LOG) <= seq <= len(rows)
        return rows[seq:] if kept and epoch == self.epochs[live_id] else None

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
        return {n: (self.epochs[n], len(self.logs[n])) for n in live_ids if n in self.logs}

    async def look(self, live_id: int) -> Group | None:
        if live_id not in self.epochs:
            return None
        rows = self.logs[live_id]
        live = not (rows and rows[-1].type == "live_end")
        epoch, seats = self.epochs[live_id], self.on_mic
        return Group(f"qlive{live_id}", HOST, epoch, len(rows), live, list(self.num_list), seats)


class Scene:
    def __init__(self, simulator, outside, clock, mongo_uri: str) -> None:
        self.sim, self.clock, self.rooms = simulator, clock, Rooms(clock)
        self.im = IM(outside, UserSigs(1400000000, "im-key-of-the-tests"), "administrator")
        self.database = Database(mongo_uri, NAME)
        self.rows = self.database.collection("relays")
        self.store = Relays(self.database)
        self.slept: list[float] = []
        for account in (HOST, GUEST):
            simulator.im.accounts[account] = {}
        for live_id in range(1, 41):
            simulator.im.groups[f"qlive{live_id}"] = {}

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    async def sleep(self, seconds: float) -> None:
        self.clock.now += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def relay(self, **other) -> Relay:
        """One process's relay."""
        parts = {"store": self.store, "past": self.rooms, "im": self.im, "look": self.rooms.look}
        times = {"now": self.now, "clock": self.clock, "sleep": self.sleep}
        return Relay(**{**parts, **times, "idle": 0.01, **other})

    @asynccontextmanager
    async def running(self, **other):
        relay, stopping = self.relay(**other), asyncio.Event()
        task = asyncio.ensure_future(relay.run(stopping))
        try:
            yield relay
        finally:
            stopping.set()
            await task

    async def quiet(self, relay: Relay) -> None:
        """Nothing is left to be relayed; numbers that wait for their second get it."""

        async def is_quiet() -> bool:
            due = [row["due_at"] async for row in self.rows.find({"due_at": {"$exists": True}})]
            if due and min(due) > self.now():
                self.clock.now += 1
            return not relay.waiting and not due

        await until(is_quiet)

    async def put_off(self, tries: int = 1) -> None:
        async def failed() -> bool:
            return await self.rows.count_documents({"tries": {"$gte": tries}}) > 0

        await until(failed)

    @property
    def said(self) -> list[dict]:
        """The texts as IM had them, in order."""
        return [json.loads(message["text"]) for message in self.sim.im.messages]

    @property
    def kinds(self) -> list[str]:
        return [text["type"] for text in self.said]


async def until(ask) -> None:
    deadline = time.monotonic() + 30
    while not await ask():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture
def scene(io_loop, simulator, sim_url, reach, clock, mongo_uri, monkeypatch):
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    with MongoClient(mongo_uri) as client:
        client[NAME]["relays"].delete_many({})
    scene = Scene(simulator, reach("im", sim_url, timeout=10.0), clock, mongo_uri)
    io_loop.run_sync(scene.store.make_indexes)
    yield scene
    io_loop.run_sync(scene.database.close)


# ---- what is told to whom


@a_relay
async def test_everything_is_told_to_whom_it_concerns_in_order(scene):
    soon = int(scene.clock() * 1000) + 60_000
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "micro_invite", {**face(GUEST), "expires_at": soon}))
        relay.tell(1, scene.rooms.say(1, "micro_accept", accepted(GUEST)))
        relay.tell(1, scene.rooms.gifts(1, 1))
        relay.tell(1, scene.rooms.say(1, "micro_leave", {**face(GUEST), "reason": "host"}))
        relay.tell(1, scene.rooms.say(1, "live_end", {**face(HOST), "reason": "host"}))
        await scene.quiet(relay)
    heard = [(m.get("group") or m.get("to"), m.get("priority")) for m in scene.sim.im.messages]
    assert list(zip(scene.kinds, heard, strict=True)) == [
        ("invite", (GUEST, None)),
        ("reset", ("qlive1", "High")),
        ("gift", ("qlive1", "Normal")),
        ("reset", ("qlive1", "High")),
        ("kickout", (GUEST, None)),
        ("over", ("qlive1", "High")),
    ]


@a_relay
async def test_the_host_hears_the_numbers_when_an_application_comes(scene):
    scene.rooms.num_list = [1, 2, 0, 0]
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "micro_apply"))
        await scene.quiet(relay)
    assert [m["to"] for m in scene.sim.im.messages] == [HOST]
    content = {"group_id": "qlive1", "num_list": [1, 2, 0, 0]}
    assert scene.said == [{"type": "num", "content": content}]


@a_relay
async def test_the_host_hears_the_numbers_at_most_once_a_second_and_the_latest(scene):
    scene.rooms.open(1, "e1")
    async with scene.running() as relay:
        relay.stir(1)
        await until_said(scene, 1)
        for n in range(1, 5):
            scene.rooms.num_list = [0, n, 0, 0]
            relay.tell(1, scene.rooms.say(1, "micro_apply"))
            await rested(scene, relay)
        assert len(scene.said) == 1
        scene.clock.now += 1
        await scene.quiet(relay)
    assert [text["content"]["num_list"][1] for text in scene.said] == [0, 4]


@a_relay
async def test_the_same_numbers_again_are_no_repetition(scene):
    scene.rooms.open(1, "e1")
    async with scene.running() as relay:
        for n in (1, 2, 1):
            scene.rooms.num_list = [0, n, 0, 0]
            relay.stir(1)
            await scene.quiet(relay)
            scene.clock.now += 1
    assert [text["content"]["num_list"][1] for text in scene.said] == [1, 2, 1]
    assert len({message["random"] for message in scene.sim.im.messages}) == 3


@a_relay
async def test_a_host_whose_live_is_over_hears_no_numbers(scene):
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "live_end"))
        relay.stir(1)
        await scene.quiet(relay)
    assert scene.kinds == ["over"]


@a_relay
async def test_a_room_that_does_not_exist_is_let_be(scene):
    async with scene.running() as relay:
        relay.stir(99)
        await scene.quiet(relay)
    assert scene.said == []


# ---- how far a room has been relayed


@a_relay
async def test_what_was_before_the_relay_is_not_told(scene):
    scene.rooms.gifts(1, 40)
    scene.clock.now += 60
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.gifts(1, 1))
        await scene.quiet(relay)
    assert [text["content"]["gift_id"] for text in scene.said] == [41]


@a_relay
async def test_a_first_wake_that_comes_late_loses_nothing(scene):
    first, second = scene.rooms.gifts(1, 1), scene.rooms.gifts(1, 1)
    async with scene.running() as relay:
        relay.tell(1, second)
        await scene.quiet(relay)
        relay.tell(1, first)
        await scene.quiet(relay)
    assert [text["content"]["gift_id"] for text in scene.said] == [1, 2]


@a_relay
async def test_a_new_life_is_told_from_its_beginning(scene):
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.gifts(1, 3))
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await scene.quiet(relay)
        scene.rooms.open(1, "e2")
        relay.tell(1, scene.rooms.gifts(1, 2))
        await scene.quiet(relay)
    assert scene.kinds == ["gift"] * 3 + ["over"] + ["gift"] * 2


@a_relay
async def test_who_has_missed_too_much_hears_who_sits_now_and_then_the_latest(scene):
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.gifts(1, 1))
        await scene.quiet(relay)
        scene.rooms.gifts(1, LOG)
        scene.rooms.say(1, "micro_leave", {**face("3"), "reason": "left"})
        scene.rooms.on_mic = [accepted("1"), accepted("2")]
        relay.tell(1, scene.rooms.say(1, "micro_apply"))
        await scene.quiet(relay)
        assert scene.kinds == ["gift", "reset", "reset", "num", *["gift"] * 29, "reset"]
        seats = [text["content"] for text in scene.said if text["type"] == "reset"]
        shown = [(seat["content_type"], seat["user_id"]) for seat in seats]
        assert shown == [("on", "1"), ("on", "2"), ("off", "3")]
        relay.tell(1, scene.rooms.gifts(1, 1))
        await scene.quiet(relay)
    assert scene.kinds[-1] == "gift"


@a_relay
async def test_who_has_missed_too_much_loses_nothing_that_is_said_meanwhile(scene, monkeypatch):
    """Events between the first look at the room and the reading of its log."""
    look = scene.rooms.look

    async def late_look(live_id: int) -> Group | None:
        seen = await look(live_id)
        if seen and seen.version == LOG + 1:
            scene.rooms.say(1, "micro_leave", {**face("1"), "reason": "left"})
        return seen

    monkeypatch.setattr(scene.rooms, "look", late_look)
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "micro_accept", accepted("1")))
        await scene.quiet(relay)
        relay.tell(1, scene.rooms.gifts(1, LOG))
        await scene.quiet(relay)
    seats = [text["content"] for text in scene.said if text["type"] == "reset"]
    assert (seats[-1]["content_type"], seats[-1]["user_id"]) == ("off", "1")


@a_relay
async def test_who_has_missed_too_much_of_a_live_hears_that_it_is_over(scene):
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.gifts(1, 1))
        await scene.quiet(relay)
        scene.rooms.gifts(1, LOG)
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await scene.quiet(relay)
        assert await scene.store.cursors() == {}
    assert scene.kinds == ["gift", "over"]


@a_relay
async def test_an_event_whose_wake_died_with_its_process_is_found(scene, monkeypatch):
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.gifts(1, 1))
        await scene.quiet(relay)
        scene.rooms.say(1, "live_end")
        scene.clock.now += module.LOOK_BACK_EVERY
        await until_said(scene, 2)
    assert scene.kinds == ["gift", "over"]


# ---- when IM is away, slow or refuses


@a_relay
async def test_an_outage_of_im_delays_and_keeps_the_order(scene):
    scene.sim.outage["im"] = 503
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "micro_accept", accepted(GUEST)))
        await scene.put_off()
        relay.tell(1, scene.rooms.gifts(1, 2))
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await asyncio.sleep(0)
        assert scene.said == []
        del scene.sim.outage["im"]
        scene.clock.now += 60
        await scene.quiet(relay)
    assert scene.kinds == ["reset", "gift", "gift", "over"]


@a_relay
async def test_a_room_put_off_waits_longer_and_longer(scene):
    scene.sim.outage["im"] = 503
    waits = []
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "live_end"))
        for tries in range(1, 5):
            await scene.put_off(tries)
            row = await scene.rows.find_one({"_id": 1})
            waits.append((row["claimed_until"] - scene.now()).total_seconds())
            scene.clock.now += waits[-1] + 0.001
    for wait, most in zip(waits, (1.5, 3, 6, 12), strict=True):
        assert most / 3 - 0.01 <= wait <= most


@a_relay
async def test_a_room_that_waits_for_im_holds_up_no_other(scene):
    stuck = asyncio.Event()
    really_send = scene.im.send_group_msg

    async def send(group_id: str, *message) -> None:
        if group_id == "qlive1":
            await stuck.wait()
        await really_send(group_id, *message)

    scene.im.send_group_msg = send
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await until_claimed(scene, 1)
        for live_id in range(2, 40):
            relay.tell(live_id, scene.rooms.say(live_id, "live_end"))
        await until_said(scene, 38)
        assert "qlive1" not in [m["group"] for m in scene.sim.im.messages]
        stuck.set()
        await scene.quiet(relay)


@a_relay
async def test_a_silent_im_is_not_waited_for_without_end(scene, monkeypatch):
    monkeypatch.setattr("tencent.spokesman.LIMIT", 0.01)
    scene.sim.outage["im"] = 3.0
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await scene.put_off()
    assert scene.said == []


@a_relay
async def test_telling_neither_waits_nor_piles_up(scene, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAKES", 100)
    relay = scene.relay()  # nobody runs it
    gift = scene.rooms.gifts(1, 1)
    began = time.perf_counter()
    with capture_logs() as logs:
        for n in range(10_000):
            relay.tell(n, gift)
            relay.stir(n)
            relay.tell(1, gift)
    assert relay.waiting == 100
    assert time.perf_counter() - began < 5
    assert [entry["event"] for entry in logs] == ["relay_is_full"]
    relay.stir(1)
    relay.tell(1, scene.rooms.say(1, "micro_apply"))
    assert relay._told[1]


@a_relay
async def test_a_refused_message_is_left_out_and_logged(scene):
    del scene.sim.im.groups["qlive1"]
    soon = int(scene.clock() * 1000) + 60_000
    with capture_logs() as logs:
        async with scene.running() as relay:
            relay.tell(1, scene.rooms.gifts(1, 1))
            relay.tell(1, scene.rooms.say(1, "micro_invite", {**face(GUEST), "expires_at": soon}))
            await scene.quiet(relay)
    assert scene.kinds == ["invite"]
    refused = [entry for entry in logs if entry["event"] == "not_relayed"]
    assert [(entry["kind"], entry["error_code"]) for entry in refused] == [("gift", 10010)]


@a_relay
async def test_somebody_unknown_to_im_is_imported_and_told(scene):
    del scene.sim.im.accounts[HOST]
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.say(1, "micro_apply"))
        await scene.quiet(relay)
    assert HOST in scene.sim.im.accounts
    assert scene.kinds == ["num"]


@a_relay
async def test_a_mistake_in_one_room_is_logged_and_put_off(scene):
    with capture_logs() as logs:
        async with scene.running() as relay:
            relay.tell(1, scene.rooms.say(1, "gift", {"nothing": "of a gift"}))
            await scene.put_off()
            relay.tell(2, scene.rooms.gifts(2, 1))
            await until_said(scene, 1)
    assert [e["live_id"] for e in logs if e["event"] == "turn_broke"] == [1]


# ---- pacing


@a_relay
async def test_a_group_hears_at_most_thirty_a_second_and_the_host_is_no_group(scene):
    times = []
    really_send = scene.im.send_group_msg

    async def send(*message) -> None:
        times.append(scene.clock())
        await really_send(*message)

    scene.im.send_group_msg = send
    async with scene.running() as relay:
        for n in range(90):
            relay.tell(1, scene.rooms.say(1, "micro_accept", accepted(str(n))))
        await scene.quiet(relay)
    assert [text["content"].get("user_id") for text in scene.said if text["type"] == "reset"] == [
        str(n) for n in range(90)
    ]
    for first, last in zip(times, times[PER_SECOND:], strict=False):
        assert last - first > 0.999
    assert "10023" not in {entry["outcome"] for entry in scene.sim.log}


@a_relay
async def test_when_too_much_piles_up_the_oldest_gifts_are_left_out_and_nothing_else(scene):
    scene.rooms.gifts(1, 20)
    scene.rooms.say(1, "micro_accept", accepted(GUEST))
    scene.rooms.gifts(1, 100)
    scene.rooms.say(1, "live_end")
    async with scene.running() as relay:
        relay.tell(1, scene.rooms.logs[1])
        await scene.quiet(relay)
    assert scene.kinds == ["reset"] + ["gift"] * 28 + ["over"]
    assert [t["content"]["gift_id"] for t in scene.said[1:-1]] == list(range(94, 122))


@a_relay
async def test_what_comes_while_much_is_told_is_told_after_it(scene):
    async with scene.running() as relay:
        for n in range(60):
            relay.tell(1, scene.rooms.say(1, "micro_accept", accepted(str(n))))
        await until_said(scene, 20)
        relay.tell(1, scene.rooms.say(1, "live_end"))
        await scene.quiet(relay)
    assert [kind for kind in scene.kinds if kind != "num"] == ["reset"] * 60 + ["over"]


@a_relay
async def test_a_room_with_much_to_say_does_not_wait_for_the_next_look(scene):
    async with scene.running(idle=3600) as relay:
        for n in range(80):
            relay.tell(1, scene.rooms.say(1, "micro_accept", accepted(str(n))))
        await until_said(scene, 80)


# ---- several processes, crashes, an outage of the database


@a_relay
async def test_after_a_crash_another_goes_on_and_doubles_are_dropped(scene):
    sent = asyncio.Event()
    really_move = scene.store.moved

    async def die_before_the_third(turn, epoch, seq, until, *, over) -> bool:
        if seq == 3:
            sent.set()
            await asyncio.Event().wait()
        return await really_move(turn, epoch, seq, until, over=over)

    async def never(*_others) -> None:
        raise ConnectionError("killed")

    dying = Relays(scene.database)
    dying.moved, dying.later = die_before_the_third, never
    relay = scene.relay(store=dying)
    relay.tell(1, scene.rooms.gifts(1, 5))
    killed = asyncio.ensure_future(relay.run(asyncio.Event()))
    await sent.wait()
    await end(killed)
    assert len(scene.said) == 3
    asked = len(scene.sim.log)
    async with scene.running() as survivor:
        scene.clock.now += LEASE.total_seconds()
        await scene.quiet(survivor)
    assert [text["content"]["gift_id"] for text in scene.said] == [1, 2, 3, 4, 5]
    assert len(scene.sim.log) - asked == 3  # the third was said again


@a_relay
async def test_a_lost_turn_is_not_gone_on_with(scene):
    lose = asyncio.Event()
    really_send = scene.im.send_group_msg

    async def send(*message) -> None:
        await really_send(*message)
        if not lose.is_set():
            lose.set()
            scene.clock.now += LEASE.total_seconds()  # as slow as that
            await scene.store.claim(scene.now(), scene.now() + timedelta(hours=1))

    scene.im.send_group_msg = send
    with capture_logs() as logs:
        async with scene.running() as relay:
            relay.tell(1, scene.rooms.gifts(1, 5))
            await until_logged(logs, "turn_lost")
    assert len(scene.said) == 1


@a_relay
async def test_two_relays_never_tell_one_room_at_once(scene):
    speaking: set[str] = set()
    by: list[str] = []

    def im_of(name: str):
        async def send(group_id: str, *message) -> None:
            assert not speaking
            speaking.add(name)
            by.append(name)
            await asyncio.sleep(0.001)
            await scene.im.send_group_msg(group_id, *message)
            speaking.discard(name)

        return SimpleNamespace(send_group_msg=send, send_text=scene.im.send_text)

    async with scene.running(im=im_of("a")) as a, scene.running(im=im_of("b")) as b:
        for n in range(40):
            (a, b)[n % 2].tell(1, scene.rooms.say(1, "micro_accept", accepted(str(n))))
            await asyncio.sleep(0.003)
        await scene.quiet(a)
        await scene.quiet(b)
    told = [t["content"]["user_id"] for t in scene.said if t["type"] == "reset"]
    assert told == [str(n) for n in range(40)]
    assert len(by) == 40


@a_relay
async def test_wakes_outlive_an_outage_of_the_database(scene):
    class Flaky(Relays):
        away = True
        failures = 0

        async def wake(self, live_id, now, *, num):
            if self.away:
                self.failures += 1
                raise ServerSelectionTimeoutError("no primary")
            await super().wake(live_id, now, num=num)

        async def claim(self, now, until):
            if self.away:
                raise ServerSelectionTimeoutError("no primary")
            return await super().claim(now, until)

    store = Flaky(scene.database)
    with capture_logs() as logs:
        async with scene.running(store=store) as relay:
            relay.tell(1, scene.rooms.say(1, "micro_apply"))
            relay.tell(1, scene.rooms.gifts(1, 1))
            relay.stir(2)
            scene.rooms.open(2, "e1")
            await until_failed(store, 6)
            while relay.waiting != 2:  # more while one of them is tried again
                await asyncio.sleep(0.001)
            store.away = False
            await scene.quiet(relay)
    assert sorted(scene.kinds) == ["gift", "num", "num"]
    outages = [e["event"] for e in logs if e["event"].startswith("relay_")]
    assert outages == ["relay_cannot_reach_its_store", "relay_reaches_its_store_again"]


@a_relay
async def test_a_stop_ends_what_is_under_way_and_writes_down_what_waits(scene):
    async with scene.running(idle=3600) as relay:
        relay.tell(1, scene.rooms.gifts(1, 3))
        await until_said(scene, 1)
        relay.tell(2, scene.rooms.gifts(2, 1))
    row = await scene.rows.find_one({"_id": 1})
    assert row["seq"] == len([m for m in scene.sim.im.messages if m["group"] == "qlive1"]) == 3
    assert await scene.rows.count_documents({"_id": 2}) == 1


@a_relay
async def test_a_turn_cut_short_is_free_for_others_at_once(scene):
    stuck = asyncio.Event()

    async def send(*_message) -> None:
        stuck.set()
        await asyncio.Event().wait()

    im = SimpleNamespace(send_group_msg=send)
    relay = scene.relay(im=im)
    relay.tell(1, scene.rooms.gifts(1, 1))
    cut = asyncio.ensure_future(relay.run(asyncio.Event()))
    await stuck.wait()
    await end(cut)
    async with scene.running() as other:
        await scene.quiet(other)
    assert scene.kinds == ["gift"]


def test_a_wait_is_between_a_second_and_a_minute_and_never_the_same():
    waits = [back_off(tries) for tries in range(1, 2000)]
    assert min(waits) >= 1
    assert max(waits) <= 60
    assert len({back_off(4) for _ in range(10)}) > 1


# ---- waiting


async def end(task: asyncio.Task) -> None:
    """More than once where it takes that: PyMongo may turn a cancellation into an error."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


async def until_said(scene, count: int) -> None:
    async def said() -> bool:
        return len(scene.said) >= count

    await until(said)


async def until_claimed(scene, live_id: int) -> None:
    async def is_claimed() -> bool:
        return await scene.rows.count_documents({"_id": live_id, "claims": {"$gt": 0}}) > 0

    await until(is_claimed)


async def until_failed(store, times: int) -> None:
    async def has_failed() -> bool:
        return store.failures >= times

    await until(has_failed)


async def until_logged(logs: list, event: str) -> None:
    async def is_logged() -> bool:
        return any(entry["event"] == event for entry in logs)

    await until(is_logged)


async def rested(scene, relay: Relay) -> None:
    """All events are told; the numbers may still wait for their time."""

    async def is_free() -> bool:
        row = await scene.rows.find_one({"_id": 1})
        all_told = row["seq"] == len(scene.rooms.logs[1])
        return all_told and not relay.waiting and row["due_at"] > scene.now()

    await until(is_free)
