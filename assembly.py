"""How the parts are built and connected."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from devsecrets import DevSecrets
from handlers.metrics import Metrics
from handlers.parts import Parts
from money.teller import Teller
from realtime.bus import LocalBus
from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.locks import Locks
from settings import Settings
from storage.audit import Audit
from storage.blocks import Blocks
from storage.configs import Configs
from storage.counters import Counters
from storage.database import Database
from storage.errands import Errands as ErrandStore
from storage.gifts import Gifts
from storage.latency import Latency
from storage.ledger import Ledger
from storage.likes import Likes
from storage.members import Members
from storage.orders import Orders
from storage.rooms import Rooms
from storage.tokens import Tokens
from storage.users import Users
from tencent.errands import Errands
from tencent.im import IM
from tencent.live import LiveUrls
from tencent.outside import Outside
from tencent.pay import JsapiPay
from tencent.simulator.simulator import Simulator
from tencent.usersig import UserSigs
from tencent.wechat import WeChat

Payload = dict[str, Any]
Does = Callable[[Payload], Awaitable[None]]


def build(settings: Settings, dev: DevSecrets | None, uri: str, address: str) -> Parts:
    """All parts on the database at `uri`; `address` is where this server is reached.

    `dev` are the development secrets, with which the simulator plays WeChat and Tencent.
    """
    metrics = Metrics()
    database = Database(uri, settings.mongodb.database, [Latency(metrics.observe_mongo)])
    members, counters = Members(database), Counters(database)
    ledger = Ledger(database)
    users = Users(database, members)
    rooms, locks = Rooms(database, members, counters), Locks()
    hub = Hub(rooms, LocalBus())
    simulator = f"{address}/sim"
    wechat = Outside("wechat", settings.wechat.api_base or simulator)
    im_service = Outside("im", settings.im.api_base or simulator)
    pay_service = Outside("pay", settings.pay.api_base or simulator)
    sigs = UserSigs(settings.im.sdk_app_id, settings.im.secret_key)
    im = IM(im_service, sigs, settings.im.admin)
    errand_store = ErrandStore(database)
    return Parts(
        settings=settings,
        metrics=metrics,
        database=database,
        users=users,
        tokens=Tokens(database, settings.auth.token_days),
        rooms=rooms,
        members=members,
        gifts=Gifts(database, counters),
        blocks=Blocks(database, counters),
        configs=Configs(database, counters),
        likes=Likes(database),
        orders=Orders(database),
        audit=Audit(database),
        ledger=ledger,
        errand_store=errand_store,
        keeper=Keeper(rooms, hub, locks),
        teller=Teller(ledger, locks.hold),
        hub=hub,
        outside=[wechat, im_service, pay_service],
        wechat=WeChat(wechat, {name: app.secret for name, app in settings.wechat.apps.items()}),
        sigs=sigs,
        im=im,
        live=_live_urls(settings),
        pay=_pay(settings, pay_service, address),
        errands=Errands(errand_store, _errands(im, users)),
        simulator=_simulator(settings, dev) if dev else None,
    )


async def make_indexes(parts: Parts) -> None:
    collections = (
        parts.users,
        parts.tokens,
        parts.rooms,
        parts.members,
        parts.gifts,
        parts.blocks,
        parts.configs,
        parts.likes,
        parts.orders,
        parts.ledger,
        parts.errand_store,
    )
    with parts.database.patiently():
        for collection in collections:
            await collection.make_indexes()


async def take_down(parts: Parts) -> None:
    for service in parts.outside:
        service.close()
    await parts.database.close()


def spread(seconds: float) -> int:
    """A moment within the next `seconds`, in ms: nobody comes back at the same one."""
    return random.randint(100, max(100, int(seconds * 1000)))


def _live_urls(settings: Settings) -> LiveUrls:
    live = settings.live
    return LiveUrls(
        live.push_domain, live.play_domain, live.push_key, live.play_key, live.url_seconds
    )


def _pay(settings: Settings, service: Outside, address: str) -> JsapiPay:
    pay = settings.pay
    return JsapiPay(
        service,
        pay.mchid,
        pay.serial_no,
        pay.private_key,
        {pay.public_key_id: pay.public_key},
        pay.apiv3_key,
        f"{settings.server.public_url or address}/wx/api/qlive/qlive_pay/notify/",
    )


def _errands(im: IM, users: Users) -> dict[str, Does]:
    """What is told of somebody is what they are by then: late or twice does no harm."""

    async def account_import(errand: Payload) -> None:
        user = await users.get(errand["user_id"])
        await im.account_import(user.user_id, user.nickname, user.face_url)

    async def portrait_set(errand: Payload) -> None:
        user = await users.get(errand["user_id"])
        await im.portrait_set(user.user_id, user.nickname, user.face_url, user.gender)

    async def destroy_group(errand: Payload) -> None:
        await im.destroy_group(errand["group_id"])

    return {
        "account_import": account_import,
        "portrait_set": portrait_set,
        "destroy_group": destroy_group,
    }


def _simulator(settings: Settings, dev: DevSecrets) -> Simulator:
    return Simulator(
        apps={name: app.secret for name, app in settings.wechat.apps.items()},
        sdk_app_id=settings.im.sdk_app_id,
        im_key=settings.im.secret_key,
        im_admin=settings.im.admin,
        mchid=settings.pay.mchid,
        merchant_serial=settings.pay.serial_no,
        merchant_public_key=dev.merchant_public_key,
        platform_key_id=settings.pay.public_key_id,
        platform_private_key=dev.platform_private_key,
        apiv3_key=settings.pay.apiv3_key,
    )
