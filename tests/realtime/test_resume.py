import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from realtime import channel
from server import Server
from storage import rooms
from tests.phones import Phone, Street
from tests.realtime.listening import numbered, parted, speak, until

KEPT = 20
"""Events; as many as FEW and some more."""


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOG", KEPT)
    monkeypatch.setattr(channel, "RECENT", KEPT)


@pytest.fixture
def fresh(
    short_log: None,
    io_loop: IOLoop,
    server: Server,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Street]:
    """A server just started on the same data, which has told nothing yet."""

    async def planted_already(*_: object) -> None:
        pass

    monkeypatch.setattr(Server, "_plant", planted_already)
    again = Server(*settings)
    io_loop.run_sync(again.start)
    street = Street(again.address, again.settings.ops.token)
    yield street
    io_loop.run_sync(street.close)
    io_loop.run_sync(again.stop)


class Evening:
    """A host, two guests in the room, and the epoch."""

    def __init__(self, host: Phone, bert: Phone, anna: Phone, epoch: str) -> None:
        self.host, self.bert, self.anna, self.epoch = host, bert, anna, epoch

    async def back(self, phone: Phone, since: object, street: Street | None = None) -> Any:
        phone.street = street or phone.street
        return await phone.connect(self.host.live_id, epoch=self.epoch, since=since)


async def evening(street: Street) -> Evening:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    anna = await street.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    epoch = (await socket.frame())["epoch"]
    await socket.connection.close()
    return Evening(host, bert, anna, epoch)


@pytest.mark.gen_test(timeout=20)
async def test_the_missed_come_in_order_and_as_the_others_heard_them(street: Street) -> None:
    here = await evening(street)
    listener = await here.bert.connect()
    away = await here.anna.connect()
    await numbered(listener, 1), await numbered(away, 1)
    await speak(here.host, here.bert, 2)
    await numbered(away, 2)
    await away.connection.close()
    await speak(here.host, here.bert, 3)
    heard = await numbered(listener, 5)
    back = await here.back(here.anna, 2)
    assert await back.frame() == {
        "type": "resumed",
        "live_id": here.host.live_id,
        "epoch": here.epoch,
        "seq": 5,
        "replayed": 3,
    }
    assert await numbered(back, 3) == heard[2:]
    await speak(here.host, here.bert, 1)
    assert await numbered(back, 1) == await numbered(listener, 1)


@pytest.mark.gen_test(timeout=20)
async def test_every_resume_begins_where_the_one_before_got_to(
    street: Street, server: Server
) -> None:
    """Whether something was missed or nothing; what happened while nobody listened is read from
    the log."""
    here = await evening(street)
    for seen in (0, 2, 4):
        for _ in range(2):
            back = await here.back(here.anna, seen)
            resumed = await back.frame()
            assert (resumed["type"], resumed["seq"], resumed["replayed"]) == ("resumed", seen, 0)
        await back.connection.close()
        await until(lambda: not server.parts.hub.channels)
        await speak(here.host, here.bert, 1)
        back = await here.back(here.anna, seen)
        assert (await back.frame())["replayed"] == 1
        await speak(here.host, here.bert, 1)
        assert [json.loads(t)["seq"] for t in await numbered(back, 2)] == [seen + 1, seen + 2]


@pytest.mark.gen_test(timeout=20)
async def test_an_hour_of_silence_changes_nothing(street: Street, server: Server) -> None:
    here = await evening(street)
    socket = await here.anna.connect()
    await numbered(socket, 1)
    hour = time.monotonic() + 3600
    for seconds in (0, 60, 120):
        server.parts.hub.beat(hour + seconds, every=25, silent=1e9)
    assert [(await socket.frame())["type"] for _ in range(2)] == ["heartbeat"] * 2
    await socket.connection.close()
    await until(lambda: not server.parts.hub.channels)
    back = await here.back(here.anna, 0)
    assert (await back.frame())["replayed"] == 0
    await speak(here.host, here.bert, 1)
    assert (await back.next("micro_invite"))["seq"] == 1


@pytest.mark.gen_test(timeout=30)
async def test_a_server_just_started_replays_the_same_bytes_as_far_as_the_log_reaches(
    street: Street, fresh: Street
) -> None:
    here = await evening(street)
    listener = await here.bert.connect()
    await numbered(listener, 1)
    await speak(here.host, here.bert, KEPT + 3)
    (await here.bert.post("qlive_room/accept_micro/", live_id=here.host.live_id)).ok()
    heard = (await numbered(listener, KEPT + 4))[4:]
    for where in (street, fresh):
        back = await here.back(here.anna, 4, where)
        assert (await back.frame())["replayed"] == KEPT
        assert await numbered(back, KEPT) == heard
        late = await here.back(here.anna, 3, where)
        snapshot = await late.frame()
        assert (snapshot["type"], snapshot["reset"]) == ("snapshot", "too_old")
        assert (snapshot["seq"], snapshot["data"]["male"]["user_id"]) == (KEPT + 4, here.bert.id)
    await speak(here.host, here.anna, 1)
    assert json.loads((await numbered(late, 1))[0])["seq"] == KEPT + 5, "nothing in between"


@pytest.mark.gen_test(timeout=20)
async def test_another_life_begins_anew(street: Street) -> None:
    here = await evening(street)
    await speak(here.host, here.bert, 3)
    (await here.host.post("qlive_room/live_end/", live_id=here.host.live_id)).ok()
    (await here.host.post("qlive_room/matchmaker_enter/")).ok()
    (await here.anna.get("get_playurl/", live_id=here.host.live_id)).ok()
    snapshot = await (await here.back(here.anna, 0)).frame()
    assert (snapshot["type"], snapshot["reset"], snapshot["seq"]) == ("snapshot", "epoch", 0)
    assert snapshot["epoch"] != here.epoch
    unnamed = await here.anna.connect(here.host.live_id, since=0)
    assert (await unnamed.frame())["reset"] == "epoch"


@pytest.mark.gen_test(timeout=20)
async def test_only_members_resume(street: Street) -> None:
    here = await evening(street)
    await speak(here.host, here.bert, 1)
    (await here.anna.get("qlive_room/leave_room/", live_id=here.host.live_id)).ok()
    assert await parted(await here.back(here.anna, 0)) == 4504
    (await street.ops("PATCH", f"users/{here.bert.id}", banned=True, ban_reason="rude")).ok()
    assert await parted(await here.back(here.bert, 0)) == 4503
