"""A server whose IM and CSS hold back some answers: a lane of the outbox delays no other."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from runtime.process import ServerProcess
from services.jobs.outbox_jobs import CONCURRENCY
from tests.support.api import ApiFixture
from tests.support.mic import take_seat
from tests.support.server import job_of
from tests.support.tencent import Serve
from tests.support.waiting import until

BACKLOG = 5 * CONCURRENCY


class SlowTencent:
    """IM and CSS, which hold back the answer to a call with one of the words in `holds`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """Path and body of each call, in order of arrival."""
        self.holds: set[str] = set()
        self._released = asyncio.Event()

    async def __call__(self, request: SimulatorRequest) -> SimulatorReply:
        call = f"{request.path} {request.body.decode()}"
        self.calls.append(call)
        if any(word in call for word in self.holds):
            await self._released.wait()
        is_css = not request.path.startswith("/v4/")
        body = (
            b'{"Response":{"RequestId":"1"}}' if is_css else b'{"ActionStatus":"OK","ErrorCode":0}'
        )
        return SimulatorReply(200, {"Content-Type": "application/json"}, body)

    def release(self) -> None:
        self.holds.clear()
        self._released.set()

    def received(self, *words: str) -> list[str]:
        """The calls that contain these words."""
        return [call for call in self.calls if all(word in call for word in words)]


@pytest.fixture
def tencent() -> Iterator[SlowTencent]:
    tencent = SlowTencent()
    yield tencent
    tencent.release()


@pytest.fixture
def changes(serve: Serve, tencent: SlowTencent) -> dict[str, Any]:
    url = serve(tencent)
    return {"live_streaming": {"api_base": url}, "im": {"api_base": url}}


async def fill_other_lanes(server: ServerProcess, tencent: SlowTencent, live_id: int) -> None:
    """Queue drops, profile updates and mutes of a new group; the first of each get no answer."""
    stores = server.context.stores
    user, _ = await stores.users.create("app", "flood")
    tencent.holds = {"flood", "portrait_set", user.user_id}
    for n in range(BACKLOG):
        await stores.outbox.add("drop_stream", {"streams": [f"flood-{n}"]})
        await stores.outbox.add("portrait_set", {"user_id": user.user_id})
        mute = {"user_id": user.user_id, "live_id": live_id}
        await stores.outbox.add("mute_again", mute, urgent=True)
    for name in ("im_outbox", "live_streaming_outbox", "group_outbox"):
        job_of(server, name).wake()
    await until(lambda: len(tencent.received("flood-")) >= CONCURRENCY)
    await until(lambda: len(tencent.received("portrait_set")) >= CONCURRENCY)
    await until(lambda: len(tencent.received("forbid_send_msg", user.user_id)) >= CONCURRENCY)


async def test_removed_guest_is_cut_kicked_and_muted_before_the_backlog_is_delivered(
    api: ApiFixture, server: ServerProcess, tencent: SlowTencent
) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    viewer = await api.guest("carl", 1, host.live_id)
    await take_seat(guest)
    await fill_other_lanes(server, tencent, host.live_id)
    for user in (guest, viewer):
        put_out = {"live_id": host.live_id, "user_id": user.id}
        (await host.post("qlive_room/put_out/", **put_out)).ok()
    await until(lambda: tencent.received("StreamName", f"{guest.id}_"))
    await until(lambda: tencent.received("kickout", viewer.id))
    await until(lambda: tencent.received("forbid_send_msg", viewer.id))
    assert len(tencent.received("flood-")) < BACKLOG
    assert len(tencent.received("portrait_set")) < BACKLOG
    tencent.release()
