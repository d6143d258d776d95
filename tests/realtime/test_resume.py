import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from server import Server
from tests.phones import Phone, Street
from tests.realtime.listening import numbered, parted, speak, until

LOG = 256


@pytest.fixture
def fresh(io_loop: IOLoop, server: Server, settings: Any) -> Iterator[Street]:
    """A server just started on the same data, which has told nothing yet."""
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
async def test_whoever_missed_nothing_is_told_so_every_time(street: Street) -> None:
    here = await evening(street)
    for seq in range(4):
        for _ in range(2):
            back = await here.back(here.anna, seq)
            resumed = await back.frame()
            assert (resumed["type"], resumed["seq"], resumed["replayed"]) == ("resumed", seq, 0)
        await speak(here.host, here.bert, 1)
        [text] = await numbered(back, 1)
        assert json.loads(text)["seq"] == seq + 1


@pytest.mark.gen_test(timeout=20)
async def test_a_second_resume_begins_where_the_first_one_got_to(street: Street) -> None:
    here = await evening(street)
    for seen in (0, 2, 4):
        await speak(here.host, here.bert, 2)
        back = await here.back(here.anna, seen)
        assert (await back.frame())["replayed"] == 2
        assert [json.loads(t)["seq"] for t in await numbered(back, 2)] == [seen + 1, seen + 2]
        await back.connection.close()


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


@pytest.mark.gen_test(timeout=20)
async def test_what_happened_while_nobody_listened_is_read_from_the_log(
    street: Street, server: Server
) -> None:
    here = await evening(street)
    await until(lambda: not server.parts.hub.channels)
    await speak(here.host, here.bert, 3)
    back = await here.back(here.anna, 1)
    assert (await back.frame())["replayed"] == 2
    assert [json.loads(text)["seq"] for text in await numbered(back, 2)] == [2, 3]


@pytest.mark.gen_test(timeout=20)
async def test_a_server_just_started_replays_the_same_bytes(street: Street, fresh: Street) -> None:
    here = await evening(street)
    listener = await here.bert.connect()
    await numbered(listener, 1)
    await speak(here.host, here.bert, 3)
    (await here.bert.post("qlive_room/accept_micro/", live_id=here.host.live_id)).ok()
    heard = await numbered(listener, 4)
    back = await here.back(here.anna, 1, fresh)
    assert (await back.frame())["replayed"] == 3
    assert await numbered(back, 3) == heard[1:]


@pytest.mark.gen_test(timeout=30)
async def test_the_log_reaches_back_so_far_and_no_further(street: Street, fresh: Street) -> None:
    here = await evening(street)
    listener = await here.bert.connect()
    await numbered(listener, 1)
    await speak(here.host, here.bert, LOG + 4)
    heard = (await numbered(listener, LOG + 4))[4:]
    for where in (street, fresh):
        back = await here.back(here.anna, 4, where)
        assert (await back.frame())["replayed"] == LOG
        assert await numbered(back, LOG) == heard
        late = await here.back(here.anna, 3, where)
        snapshot = await late.frame()
        assert (snapshot["type"], snapshot["reset"]) == ("snapshot", "too_old")
        assert (snapshot["seq"], len(snapshot["data"]["applicants"])) == (LOG + 4, 1)
    await speak(here.host, here.bert, 1)
    assert json.loads((await numbered(late, 1))[0])["seq"] == LOG + 5, "nothing in between"


@pytest.mark.gen_test(timeout=20)
async def test_whoever_is_ahead_begins_anew(street: Street) -> None:
    here = await evening(street)
    await speak(here.host, here.bert, 1)
    for since in (2, 10**14):
        snapshot = await (await here.back(here.anna, since)).frame()
        assert (snapshot["type"], snapshot["reset"]) == ("snapshot", "ahead")
        assert snapshot["seq"] == 1


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("since", ["abc", "-1", "1.0", "1e3", "9" * 30, "%F0%9F%98%80", "%FF"])
async def test_a_number_that_is_none_begins_anew(street: Street, since: str) -> None:
    here = await evening(street)
    await speak(here.host, here.bert, 1)
    back = await here.back(here.anna, since)
    snapshot = await back.frame()
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 1)
    assert snapshot["reset"] == "epoch"
    await speak(here.host, here.bert, 1)
    assert json.loads((await numbered(back, 1))[0])["seq"] == 2


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
