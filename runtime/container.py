"""Dependency container: builds and connects every part of a process."""

import secrets
from datetime import timedelta

from config.settings import Settings
from core.locks import NamedLocks
from handlers.context import Context
from ledger.withdrawal_requests import WithdrawalLimits
from realtime.bus import Bus, LocalBus
from realtime.fanout import FanoutConfig
from realtime.hub import Hub
from realtime.realtime import PresenceConfig, Realtime
from realtime.redis_bus import RedisBus
from rooms.keeper import Keeper
from rooms.presence import GracePolicy
from services.group_repairs import GroupRepairs
from services.im_relay import ImRelay
from services.relayed_rooms import StoredRooms
from services.retention import RetentionDays
from services.room_access import RoomAccess
from services.room_listeners import RoomListeners
from services.services import PaymentConfig, Services
from services.withdrawable_income import WithdrawalConfig
from storage.database import CommandLatency, Database
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import (
    ImConfig,
    JsapiConfig,
    LiveConfig,
    TencentClients,
    TransferConfig,
    WechatConfig,
    XpayConfig,
)
from tencent.transfers import TransferScene


def build(settings: Settings, uri: str, address: str, simulator_url: str = "") -> Context:
    """Build everything on the database at `uri`; `address` is this server's base URL.

    `simulator_url` is the base URL of the simulated WeChat and Tencent, "" in production.
    """
    process_id = secrets.token_hex(8)
    metrics, locks = Metrics(), NamedLocks()
    database = Database(uri, settings.mongodb.database, [CommandLatency(metrics.observe_mongo)])
    presence, payment = _presence(settings, process_id), _payment(settings)
    stores = Stores(
        database,
        token_days=settings.auth.token_days,
        session_days=settings.auth.session_days,
        operator_idle=timedelta(minutes=settings.ops.idle_minutes),
        operator_session=timedelta(hours=settings.ops.session_hours),
        grace=presence.grace,
        drops_streams=bool(settings.live.api_base or simulator_url),
        admits_demo=settings.environment == "development",
    )
    tencent = _tencent(settings, address, simulator_url, metrics)
    bus = _bus(settings, process_id)
    room_access = RoomAccess(stores, tencent.stream_urls)
    fanout = _fanout(settings, metrics)
    hub = Hub(stores.rooms, room_access.load_room, bus, fanout)
    group_repairs = GroupRepairs(stores.outbox)
    im_relay = _im_relay(settings, stores, tencent, group_repairs)
    keeper = Keeper(stores.rooms, RoomListeners(hub, im_relay))
    realtime = Realtime(bus, hub, keeper, stores.presence, presence)
    services = Services(
        stores,
        tencent,
        realtime,
        keeper,
        locks,
        im_relay,
        room_access,
        group_repairs,
        process_id=process_id,
        payment=payment,
        withdrawal=_withdrawal(settings),
        retention=_retention(settings),
        second_person_gold=settings.ops.second_person_gold,
    )
    return Context(
        settings,
        metrics,
        database,
        stores,
        tencent,
        realtime,
        keeper,
        services,
        process_id,
    )


async def close(context: Context) -> None:
    await context.realtime.bus.close()
    await context.tencent.close()
    await context.database.close()


def _bus(settings: Settings, process_id: str) -> Bus:
    if not settings.redis.url:
        return LocalBus()
    return RedisBus(settings.redis.url, settings.mongodb.database, process_id)


def _presence(settings: Settings, process_id: str) -> PresenceConfig:
    presence = settings.presence
    grace = GracePolicy(
        shown=int(presence.shown_after_seconds * 1000),
        viewer=int(presence.viewer_seconds * 1000),
        guest=int(presence.guest_seconds * 1000),
        host=int(presence.host_seconds * 1000),
    )
    silent_ms = int(presence.silent_hours * 3_600_000)
    return PresenceConfig(process_id, presence.lease_seconds, silent_ms, grace)


def _fanout(settings: Settings, metrics: Metrics) -> FanoutConfig:
    gather_seconds = settings.realtime.gather_ms / 1000
    return FanoutConfig(settings.limits.slice, gather_seconds, metrics.observe_delivery)


def _payment(settings: Settings) -> PaymentConfig:
    pay = settings.pay
    return PaymentConfig(pay.provider, pay.sandbox, pay.content_key, settings.auth.sealing_key)


def _withdrawal(settings: Settings) -> WithdrawalConfig:
    withdraw = settings.withdraw
    limits = WithdrawalLimits(
        min_fen=withdraw.min_fen,
        max_fen=withdraw.max_fen,
        user_day_fen=withdraw.user_day_fen,
        day_fen=withdraw.day_fen,
        auto_fen=withdraw.auto_fen,
        second_person_fen=withdraw.second_person_fen,
    )
    maturity = timedelta(days=withdraw.maturity_days)
    return WithdrawalConfig(settings.withdrawals_are_on, maturity, limits)


def _retention(settings: Settings) -> RetentionDays:
    days = settings.retention
    return RetentionDays(days.audit_days, days.unpaid_order_days, days.failed_outbox_days)


def _im_relay(
    settings: Settings, stores: Stores, tencent: TencentClients, repairs: GroupRepairs
) -> ImRelay | None:
    if not settings.im.relay:
        return None
    rooms = StoredRooms(stores.rooms, stores.members, tencent.stream_urls)
    return ImRelay(stores.relay_cursors, stores.rooms, tencent.im, rooms, repairs)


def _tencent(
    settings: Settings, address: str, simulator_url: str, metrics: Metrics
) -> TencentClients:
    apps = {name: app.secret for name, app in settings.wechat.apps.items()}
    im, pay = settings.im, settings.pay
    return TencentClients(
        WechatConfig(settings.wechat.api_base or simulator_url, apps),
        ImConfig(im.api_base or simulator_url, im.sdk_app_id, im.admin, im.secret_key),
        _live(settings, simulator_url),
        _jsapi(settings, address, simulator_url),
        XpayConfig(pay.offer_id, pay.sandbox, pay.app_key, pay.push_token, pay.push_aes_key),
        _transfers(settings, address),
        on_xpay_rejection=metrics.count_xpay_rejection,
    )


def _live(settings: Settings, simulator_url: str) -> LiveConfig:
    live = settings.live
    return LiveConfig(
        api_base=live.api_base or f"{simulator_url}/live",
        push_domain=live.push_domain,
        play_domain=live.play_domain,
        url_seconds=live.url_seconds,
        push_key=live.push_key,
        play_key=live.play_key,
        secret_id=live.secret_id,
        secret_key=live.secret_key,
    )


def _jsapi(settings: Settings, address: str, simulator_url: str) -> JsapiConfig:
    pay = settings.pay
    return JsapiConfig(
        api_base=pay.api_base or simulator_url,
        mchid=pay.mchid,
        serial_no=pay.serial_no,
        keys={pay.public_key_id: pay.public_key, **pay.platform_keys},
        notify_url=f"{_api_url(settings, address)}/qlive_pay/notify/",
        private_key=pay.private_key,
        apiv3_key=pay.apiv3_key,
    )


def _transfers(settings: Settings, address: str) -> TransferConfig:
    withdraw = settings.withdraw
    scene = TransferScene(withdraw.scene_id, withdraw.position, withdraw.remark)
    return TransferConfig(f"{_api_url(settings, address)}/qlive_pay/transfer_notify/", scene)


def _api_url(settings: Settings, address: str) -> str:
    return f"{settings.server.public_url or address}/wx/api/qlive"
