import asyncio
import json
import random
from typing import Any

import pytest

from tests.phones import Phone, Reply, Socket, Street
from tests.realtime.folding import Frame, Screen, comparable
from tests.realtime.listening import listen, numbered, until

WISHES = {
    "apply_micro": 5,
    "accept_micro": 5,
    "invite_micro": 4,
    "refuse_micro": 2,
    "leave_micro": 2,
    "take_off": 2,
    "come": 3,
    "leave_room": 1,
    "push_gift": 3,
    "rename": 3,
}
ACTS = 100
EVENT_OF = {
    "apply_micro": "micro_apply",
    "accept_micro": "micro_accept",
    "invite_micro": "micro_invite",
    "refuse_micro": "micro_refuse",
    "leave_micro": "micro_leave",
    "take_off": "micro_leave",
    "push_gift": "gift",
}
BLIPS = {"connect": 8, "drop": 6, "put_out": 0.3}
GUESTS = {"bert": 1, "carl": 1, "emil": 1, "anna": 2, "dora": 2, "ella": 2, "nobody": 0}


@pytest.fixture
def changes() -> dict[str, Any]:
    """So short a patience that connections which drop come to something within the test; the
    host's would end the evening. Whoever looks again and again is no flood."""
    patience = {"shown_after_seconds": 0.05, "guest_seconds": 0.7, "viewer_seconds": 1.5}
    limits = {"handshakes_per_second": 0}
    return {"presence": {**patience, "host_seconds": 120}, "limits": limits}


class Evening:
    """Whatever people do in a room, at random but every time the same."""

    def __init__(self, host: Phone, guests: list[Phone], gifts: list[int], seed: int) -> None:
        self.host, self.guests, self.gifts = host, guests, gifts
        self.chance = random.Random(seed)
        self.live_id = host.live_id
        self.done: list[str] = []
        self.wishes: dict[str, float] = dict(WISHES)
        self.sockets: dict[str, Socket] = {}

    async def act(self) -> Reply:
        one, other = self.chance.sample([self.host, *self.guests], 2)
        [what] = self.chance.choices([*self.wishes], [*self.wishes.values()])
        self.done.append(what)
        if what in ("connect", "drop"):
            await self.connect(one) if what == "connect" else self.drop(one)
            return await one.get("qlive_user/get_user_state/")
        return await self._do(what, one, other)

    async def _do(self, what: str, one: Phone, other: Phone) -> Reply:
        here: Any = {"live_id": self.live_id}
        match what:
            case "apply_micro" | "accept_micro" | "refuse_micro":
                return await one.post(f"qlive_room/{what}/", **here)
            case "invite_micro":
                inviting = self.host if self.chance.random() < 0.8 else one
                return await inviting.post("qlive_room/invite_micro/", user_id=other.id, **here)
            case "leave_micro" | "leave_room":
                return await one.get(f"qlive_room/{what}/", **here)
            case "take_off":
                return await self.host.get("qlive_room/leave_micro/", user_id=one.id, **here)
            case "come":
                return await one.get("get_playurl/", **here)
            case "put_out":
                return await self.host.post("qlive_room/put_out/", user_id=one.id, **here)
            case "push_gift":
                gift: Any = {"gift_id": self.chance.choice(self.gifts[:4]), "num": 1}
                return await one.get("qlive_gift/push_gift/", user_id=other.id, **gift)
        name = f"{one.name}{self.chance.randrange(100)}"
        changed = {"nickname": name, "face_url": f"https://face.example/{name}", "age": 30}
        return await one.post("qlive_user/update_userinfo/", **changed)

    async def each_once(self) -> None:
        """Every kind of event from the mic, a gift and a new name, whatever chance has brought."""
        here: Any = {"live_id": self.live_id}
        one = await self.host.street.guest("each", 1, self.live_id, gold=30)
        await self.connect(one)
        for other in self.guests:  # the place of a man is to be free; most are not on it
            await self.host.get("qlive_room/leave_micro/", user_id=other.id, **here)
        for step in ("apply_micro", "refuse_micro", "invite", "accept_micro"):
            if step == "invite":
                reply = await self.host.post("qlive_room/invite_micro/", user_id=one.id, **here)
            else:
                reply = await one.post(f"qlive_room/{step}/", **here)
            reply.ok()
        gift: Any = {"gift_id": self.gifts[0], "num": 1, "user_id": self.host.id}
        (await one.get("qlive_gift/push_gift/", **gift)).ok()
        (await one.post("qlive_user/update_userinfo/", nickname="once")).ok()
        (await one.get("qlive_room/leave_micro/", **here)).ok()

    async def connect(self, one: Phone) -> None:
        """A newer socket; nobody reads on the older any more."""
        newer = await one.connect(self.live_id)
        self.drop(one)
        self.sockets[one.id] = newer

    def drop(self, one: Phone) -> None:
        """Their connection is gone, without a word."""
        if socket := self.sockets.pop(one.id, None):
            socket.connection.transport.abort()

    def drop_all(self) -> None:
        for socket in self.sockets.values():
            socket.connection.transport.abort()
        self.sockets.clear()


async def evening(street: Street, seed: int) -> tuple[Evening, Phone]:
    """The evening, and somebody who only watches."""
    host = await street.host()
    guests = [
        await street.guest(name, gender, host.live_id, gold=30) for name, gender in GUESTS.items()
    ]
    gifts = [row["id"] for row in (await host.get("qlive_gift/")).ok()["results"]]
    watcher = await street.guest("watcher", 0, host.live_id)
    return Evening(host, guests, gifts, seed), watcher


async def a_look(phone: Phone) -> Frame:
    """A snapshot, as whoever comes just now is given it."""
    frame = await (await phone.connect()).frame()
    assert frame["type"] == "snapshot"
    return frame


def check_every_cut(cuts: list[Frame], events: list[Frame]) -> None:
    """From each snapshot on, the events lead to every later one."""
    later = {cut["seq"]: comparable(cut["data"]) for cut in cuts}
    for cut in cuts:
        assert comparable(cut["data"]) == later[cut["seq"]], "one number, one room"
        screen = Screen(cut)
        for event in events[cut["seq"] :]:
            screen.hear(event)
            if screen.seq in later:
                assert screen.shown == later[screen.seq], event


@pytest.mark.gen_test(timeout=90)
async def test_at_every_cut_the_events_lead_to_the_later_snapshot(street: Street) -> None:
    here, watcher = await evening(street, seed=1)
    sockets = [await here.host.connect(), await watcher.connect()]
    first, _ = [await socket.frame() for socket in sockets]
    looker = await street.guest("looker", 0, here.live_id)
    cuts, refused = [first], list[tuple[int, int, str]]()
    for _ in range(ACTS):
        reply = await here.act()
        cuts.append(await a_look(looker))
        if reply.status != 200 or reply.json.get("status") == "failed":
            refused.append((cuts[-2]["seq"], cuts[-1]["seq"], here.done[-1]))
    await here.each_once()
    cuts.append(await a_look(looker))
    last = cuts[-1]["seq"]
    (await here.host.post("qlive_room/live_end/", live_id=here.live_id)).ok()
    heard = [await numbered(socket, last + 1) for socket in sockets]
    assert heard[0] == heard[1]
    events = [json.loads(text) for text in heard[0]]
    assert [event["seq"] for event in events] == list(range(1, last + 2))
    check_every_cut(cuts, events)
    assert len(refused) > 20
    for before, after, act in refused:  # what earlier acts still have to say may come meanwhile
        assert EVENT_OF.get(act) not in {event["type"] for event in events[before:after]}, act
    assert {event["type"] for event in events} == {
        *("micro_apply", "micro_invite", "micro_accept", "micro_refuse", "micro_leave"),
        *("profile", "gift", "live_end"),
    }


async def look_until(looker: Phone, status: str) -> list[Frame]:
    """Looks at the room, until the last shows that status."""
    cuts = [await a_look(looker)]
    while cuts[-1]["data"]["status"] != status:
        cuts.append(await a_look(looker))
    return cuts


@pytest.mark.gen_test(timeout=90)
async def test_while_connections_drop_and_come_back_the_events_lead_to_every_later_snapshot(
    street: Street,
) -> None:
    here, watcher = await evening(street, seed=4)
    here.wishes |= BLIPS
    looker = await street.guest("looker", 0, here.live_id)
    other = await street.guest("other watcher", 0, here.live_id)
    async with listen(await watcher.connect()) as one, listen(await other.connect()) as two:
        cuts = []
        for n in range(ACTS):
            await here.act()
            cuts.append(await a_look(looker))
            if n % 50 == 25:  # at last the host, too
                await here.connect(here.host)
                cuts += await look_until(looker, "live")
                here.drop(here.host)
                cuts += await look_until(looker, "paused")
                await here.connect(here.host)
                cuts += await look_until(looker, "live")
        await here.each_once()
        cuts.append(await a_look(looker))
        (await here.host.post("qlive_room/live_end/", live_id=here.live_id)).ok()
        for heard in (one, two):
            await until(lambda heard=heard: '"type":"live_end"' in heard[-1])
    here.drop_all()
    assert one[1:] == two[1:], "all but the snapshot"
    events = [json.loads(text) for text in one[1:]]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    check_every_cut(cuts, events)
    assert {event["type"] for event in events} >= {
        *("member_away", "member_back", "live_pause", "live_resume", "micro_accept"),
    }


@pytest.mark.gen_test(timeout=90)
async def test_when_all_act_at_once_everybody_hears_the_same(street: Street) -> None:
    here, watcher = await evening(street, 3)
    listeners = [here.host, watcher]
    sockets = [await phone.connect() for phone in listeners]
    cuts = [await socket.frame() for socket in sockets]
    looker = await street.guest("looker", 0, here.live_id)
    for _ in range(25):
        *_, cut = await asyncio.gather(*(here.act() for _ in range(6)), a_look(looker))
        cuts.append(cut)
    cuts.append(await a_look(looker))
    heard = [await numbered(socket, cuts[-1]["seq"]) for socket in sockets]
    assert heard[0] == heard[1]
    assert len(heard[0]) > 30
    check_every_cut(cuts, [json.loads(text) for text in heard[0]])
