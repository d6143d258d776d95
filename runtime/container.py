"""Dependency container: builds and connects every part of a process."""

import secrets

from config.settings import Settings
from handlers.context import Context
from realtime.bus import Bus
from realtime.channel import Fanout
from realtime.hub import Hub
from realtime.redis_bus import RedisBus
from rooms.members import DEFAULT_GRACE
from services.chat.im_relay import ImPublisher, ImRelay
from services.room_changes import RoomChanges
from services.rooms.presence import LEASE_SECONDS, Lease, Presence
from services.rooms.room_access import RoomAccess
from services.services import Services
from storage.database import CommandLatency, Database
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients


def build(settings: Settings, uri: str, address: str, simulator_url: str = "") -> Context:
    """Build everything on the database at `uri`; `address` is this server's base URL.

    `simulator_url` is the base URL of the simulated WeChat and Tencent, "" in production.
    """
    settings = settings.at(address, simulator_url)
    process_id, metrics = secrets.token_hex(8), Metrics()
    database = Database(uri, settings.mongodb.database, [CommandLatency(metrics.observe_mongo)])
    stores = Stores(database, settings, DEFAULT_GRACE)
    tencent = TencentClients(
        settings, lambda *labels: metrics.xpay_rejections.labels(*labels).inc()
    )
    bus = (
        RedisBus(settings.redis.url, settings.mongodb.database, process_id)
        if settings.redis.url
        else Bus()
    )
    access = RoomAccess(stores, tencent.stream_urls)
    hub = Hub(stores.rooms, access.load_room, bus, lambda: Fanout(metrics.observe_delivery))
    relay = None
    if settings.im.relay:
        relay = ImRelay(stores, ImPublisher(stores, tencent.stream_urls, tencent.im))
    room_changes = RoomChanges(stores.rooms, hub, relay)
    lease = Lease(stores.presence, process_id, LEASE_SECONDS)
    presence = Presence(stores.presence, stores.members, room_changes, lease, DEFAULT_GRACE)
    services = Services(
        settings,
        stores,
        tencent,
        bus,
        hub,
        room_changes,
        access,
        relay,
        presence,
        lease,
        process_id,
        metrics,
    )
    return Context(
        settings,
        metrics,
        database,
        stores,
        tencent,
        bus,
        hub,
        room_changes,
        services,
        process_id,
    )


async def close(context: Context) -> None:
    await context.bus.close()
    await context.tencent.close()
    await context.database.close()
