"""Faults of WeChat, WeChat Pay, Tencent and Redis, and events that WeChat pushes."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bson import ObjectId

from chaos.alert_faults.environment import PAST, AlertEnvironment, ago, every, none, some
from chaos.api import from_address
from chaos.room_load import RoomLoad
from chaos.seated_guest import seat_guest
from tests.support.client import BASE

EVENTS = ("xpay_complaint_notify", "wxa_punish_event")
DISSOLVED = 6
"""Chat groups; the alert needs four."""
REDIS_SECONDS = (0.2, 0.36, 0.52)
"""Delays of Redis in each direction, one after the other: in the end an event takes more than a
second. The bus takes Redis for down if none of its pings, which wait for each other, arrives for
three seconds, which a delay from one moment to the next could cause."""
STEP_SECONDS = SETTLE_SECONDS = 1.5
OUTBOX = "qlive_outbox_oldest_seconds"


@asynccontextmanager
async def events_pushed(env: AlertEnvironment) -> AsyncIterator[None]:
    for event in EVENTS:
        await env.simulate("/wechat_event", event=event)
    await env.simulator.platform_events.quiet()
    yield


# ---- services that are down


@asynccontextmanager
async def wechat_down(env: AlertEnvironment) -> AsyncIterator[None]:
    async def log_in() -> None:
        name = env.new_name("login")
        login = await env.fleet.tencent.login(name, 1)
        await env.send("POST", f"{BASE}qlive_user/", from_address(name), **login)

    async with _outage(env, "wechat", log_in):
        yield


@asynccontextmanager
async def pay_down(env: AlertEnvironment) -> AsyncIterator[None]:
    async def order() -> None:
        buyer = await env.create_user("buyer")  # the same one would get the open order
        await env.send_as(buyer, "POST", "qlive_pay/", block_id=1)

    async with _outage(env, "pay", order):
        yield


@asynccontextmanager
async def im_down(env: AlertEnvironment) -> AsyncIterator[None]:
    """Every process relays the events of rooms to IM."""

    async def wait() -> None:
        return

    async with _outage(env, "im", wait):
        yield


@asynccontextmanager
async def _outage(
    env: AlertEnvironment, service: str, use: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Answers of 503, until every process that uses the service has had one; then good ones."""
    series = f'qlive_dependency_up{{dependency="{service}"'

    async def until(holds: Callable[[list[float]], bool]) -> None:
        async def use_and_look() -> bool:
            await use()
            return holds(await env.values(series))

        await env.wait_until(use_and_look, series)

    env.simulator.outage[service] = 503
    await until(none(1))
    yield
    del env.simulator.outage[service]
    await until(every(1))


# ---- calls to Tencent that wait


@asynccontextmanager
async def stream_not_dropped(env: AlertEnvironment) -> AsyncIterator[None]:
    """CSS is down since an hour, when a guest was put out, whose stream is to be dropped."""
    env.simulator.outage["live"] = 503
    await _put_out(env, env.run.rooms[-1])
    message = await env.wait_for("errands", {"kind": "drop_stream", "tries": {"$gt": 0}})
    errands = env.collection("errands")
    await errands.delete_one({"_id": message["_id"]})
    id_ = ObjectId.from_datetime(ago(hours=1))
    await errands.insert_one({**message, "_id": id_})
    await env.wait_for_metric(OUTBOX, some(300))
    yield
    del env.simulator.outage["live"]
    await env.set_fields("errands", {"_id": id_}, due_at=PAST)
    await env.wait_for_metric(OUTBOX, none(300))


async def _put_out(env: AlertEnvironment, room: RoomLoad) -> None:
    guest, _ = await seat_guest(env.run, env.new_name("guest"), room.live_id)
    removal = {"live_id": room.live_id, "user_id": guest.id, "minutes": 60}
    await room.host.post("qlive_room/put_out/", **removal)


@asynccontextmanager
async def groups_dissolved(env: AlertEnvironment) -> AsyncIterator[None]:
    """Somebody else has the key of the IM application."""
    rooms = env.run.rooms
    for _ in range(math.ceil(DISSOLVED / len(rooms))):
        await asyncio.gather(*(_dissolve(env, room) for room in rooms))
    yield


async def _dissolve(env: AlertEnvironment, room: RoomLoad) -> None:
    """Dissolve a room's group, and wait for the one that replaces it."""
    state = (await room.host.get("qlive_user/get_user_state/")).json
    await env.simulate("/group", group_id=state["group_id"], outcome="dissolved")
    other = {"$ne": state["group_id"]}
    await env.wait_for("rooms", {"_id": room.live_id, "group_id": other})


# ---- Redis


@asynccontextmanager
async def redis_slow(env: AlertEnvironment) -> AsyncIterator[None]:
    """Events reach the processes of other sockets late."""
    for seconds in REDIS_SECONDS:
        env.fleet.redis_proxy.slow(seconds)
        await asyncio.sleep(STEP_SECONDS)
    yield
    await env.fleet.redis_proxy.heal()
    await asyncio.sleep(SETTLE_SECONDS)
