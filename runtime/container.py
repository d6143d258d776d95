"""Dependency container: builds and connects every part of a process."""

import secrets

from config.settings import Settings
from handlers.context import Context
from realtime.bus import Bus, ChannelChanged
from realtime.channel import Fanout
from realtime.hub import Hub
from realtime.redis_bus import RedisBus
from realtime.resume import Source
from rooms.members import DEFAULT_GRACE
from services.accounts.user_channels import UserChannelService
from services.chat.im_relay import ImPublisher, ImRelay
from services.jobs.outbox_jobs import OutboxLanes
from services.parts import Parts
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
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
    tencent = TencentClients(
        settings, lambda *labels: metrics.refused.xpay_calls.labels(*labels).inc()
    )
    bus = (
        RedisBus(settings.redis.url, settings.mongodb.database, process_id)
        if settings.redis.url
        else Bus()
    )
    stores = Stores(
        database,
        settings,
        DEFAULT_GRACE,
        lambda user_id, part: bus.publish(ChannelChanged(user_id, part)),
    )
    access = RoomAccess(stores, tencent.stream_urls)
    user_channels = UserChannelService(stores, bus, process_id)
    hub = Hub(
        Source(stores.rooms, access.load_room),
        Source(stores.user_channels, user_channels.load),
        bus,
        lambda: Fanout(metrics.observe_delivery),
    )
    publisher = ImPublisher(stores, tencent.stream_urls, tencent.im)
    relay = ImRelay(stores, publisher) if settings.im.relay else None
    follow = consequences(stores, has_notices=bool(settings.notices.template_id))
    room_changes = RoomChanges(stores, follow, hub, relay)
    lease = Lease(stores.presence, process_id, LEASE_SECONDS)
    presence = Presence(stores, room_changes, lease, DEFAULT_GRACE)
    parts = Parts(
        settings=settings,
        process_id=process_id,
        metrics=metrics,
        database=database,
        stores=stores,
        tencent=tencent,
        bus=bus,
        hub=hub,
        room_changes=room_changes,
        lanes=OutboxLanes(stores.outbox),
    )
    return Context(parts, Services(parts, access, user_channels, relay, presence))


async def close(context: Context) -> None:
    await context.bus.close()
    await context.tencent.close()
    await context.database.close()
