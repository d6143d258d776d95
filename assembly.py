"""How the parts are built and connected."""

import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from devsecrets import DevSecrets
from handlers.books import Books
from handlers.catalogue import Catalogue
from handlers.gate import Gate
from handlers.giving import Giving
from handlers.handshakes import Handshakes
from handlers.livelist import fullest
from handlers.metrics import Metrics
from handlers.owners import Owners
from handlers.parts import Parts
from money.cashier import Cashier
from money.sweep import Sweep
from money.teller import Teller
from realtime.bus import LocalBus
from realtime.fanout import Pace
from realtime.hub import Hub
from realtime.lease import Lease
from realtime.presence import Presence
from realtime.redis_bus import RedisBus
from rooms.events import MicroAccept, Numbered
from rooms.keeper import Keeper, now_ms
from rooms.locks import Locks
from rooms.presence import Patience
from rooms.room import Seat
from settings import Settings
from storage.audit import Audit
from storage.blocks import Blocks
from storage.configs import Configs
from storage.counters import Counters
from storage.database import Database, as_refusal
from storage.errands import Errands as ErrandStore
from storage.gifts import Gifts
from storage.inbox import Inbox
from storage.latency import Latency
from storage.ledger import Ledger
from storage.letters import Letters
from storage.likes import Likes
from storage.members import Members
from storage.orders import Orders
from storage.overview import Overview
from storage.presence import Presences
from storage.rankings import Rankings
from storage.ranks import Ranks
from storage.reckoning import Reckoning
from storage.relays import Relays
from storage.rooms import Rooms
from storage.tokens import Tokens
from storage.trays import Trays
from storage.turns import Turns
from storage.users import Users
from storage.vault import Vault
from tencent.access import AccessTokens
from tencent.errands import Errands
from tencent.im import IM, IMRefused
from tencent.live import LiveUrls
from tencent.outside import Outside
from tencent.pay import JsapiPay
from tencent.paynotice import PROVIDER as JSAPI
from tencent.pushes import Pushes
from tencent.relay import Relay
from tencent.relay_ports import Group
from tencent.relay_words import kickout
from tencent.simulator.relay import Relay as SimulatorElsewhere
from tencent.simulator.simulator import Simulator
from tencent.streams import LiveRefused, Streams
from tencent.usersig import UserSigs
from tencent.wechat import WeChat
from tencent.xpay import PROVIDER as XPAY
from tencent.xpay import XPay

Payload = dict[str, Any]
Does = Callable[[Payload], Awaitable[None]]
LIVE_KINDS = ("drop_stream",)


def build(
    settings: Settings,
    dev: DevSecrets | None,
    uri: str,
    address: str,
    simulator_at: str = "",
) -> Parts:
    """All parts on the database at `uri`; `address` is where this server is reached.

    `dev` are the development secrets, with which the simulator plays WeChat and Tencent: here, or
    at the address `simulator_at`, where somebody else runs it.
    """
    process = secrets.token_hex(8)
    metrics = Metrics()
    database = Database(uri, settings.mongodb.database, [Latency(metrics.observe_mongo)])
    members, counters = Members(database), Counters(database)
    ranks = Ranks(database)
    ledger, errand_store = Ledger(database, ranks), ErrandStore(database)
    users, locks = Users(database, members), Locks()
    drops_streams = bool(settings.live.api_base or dev)
    rooms = Rooms(database, members, counters, errand_store, drops_streams=drops_streams)
    bus = _bus(settings, process)
    pace = Pace(
        settings.limits.slice, settings.realtime.gather_ms / 1000, metrics.told_seconds.observe
    )
    hub = Hub(rooms, bus, pace)
    simulator = f"{simulator_at or address}/sim"
    wechat = Outside("wechat", settings.wechat.api_base or simulator)
    im_service = Outside("im", settings.im.api_base or simulator)
    pay_service = Outside("pay", settings.pay.api_base or simulator)
    sigs = UserSigs(settings.im.sdk_app_id, settings.im.secret_key)
    im = IM(im_service, sigs, settings.im.admin)
    live = _live_urls(settings)
    relays = Relays(database)
    relay = _relay(settings, relays, rooms, members, im, live)
    keeper = Keeper(rooms, Ears(hub, relay), locks)
    places = Presences(database, _patience(settings))
    lease = Lease(places, process, settings.presence.lease_seconds, lambda: hub.here)
    errands = _errands(im, users)
    tokens = Tokens(database, settings.auth.token_days)
    orders = Orders(database)
    gifts, configs = Gifts(database, counters), Configs(database, counters)
    cashier = Cashier(ledger, orders, locks.hold)
    jsapi = _jsapi(settings, pay_service, address) if settings.pay.private_key else None
    apps = {name: app.secret for name, app in settings.wechat.apps.items()}
    xpay = _xpay(settings, wechat, apps)
    drops: dict[str, Does] = {"drop_stream": _drop_stream(_streams(settings, simulator))}
    return Parts(
        settings=settings,
        metrics=metrics,
        database=database,
        users=users,
        tokens=tokens,
        owners=Owners(tokens, bus),
        rooms=rooms,
        members=members,
        gifts=gifts,
        blocks=Blocks(database, counters),
        configs=configs,
        likes=Likes(database),
        orders=orders,
        audit=Audit(database),
        ledger=ledger,
        ranks=ranks,
        rankings=Rankings(database),
        overview=Overview(database),
        books=Books(Turns(database), Reckoning(database), orders, {}),
        errand_store=errand_store,
        fullest=fullest(rooms, members),
        relays=relays,
        keeper=keeper,
        teller=Teller(ledger, locks.hold),
        giving=Giving(Trays(database, ranks), members, keeper, locks.hold),
        catalogue=Catalogue(gifts, configs, bus),
        process=process,
        bus=bus,
        hub=hub,
        places=places,
        lease=lease,
        presence=Presence(
            places,
            keeper,
            _patience(settings),
            process=process,
            silent_ms=int(settings.presence.silent_hours * 3_600_000),
            steady_ms=lambda: lease.steady_ms,
        ),
        letters=Letters(database),
        inbox=Inbox(database),
        handshakes=Handshakes(settings.limits.handshakes_per_second),
        gate=Gate(),
        outside=[wechat, im_service, pay_service],
        wechat=WeChat(wechat, apps),
        sigs=sigs,
        im=im,
        relay=relay,
        live=live,
        jsapi=jsapi,
        xpay=xpay,
        pushes=Pushes(settings.pay.push_token, settings.pay.push_aes_key, _first_app(settings)),
        cashier=cashier,
        sweep=Sweep(orders, cashier, {XPAY: xpay} | ({JSAPI: jsapi} if jsapi else {})),
        vault=Vault(settings.auth.sealing_key),
        errands=Errands(ErrandStore(database, but=LIVE_KINDS), errands, (IMRefused,)),
        drops=Errands(ErrandStore(database, only=LIVE_KINDS), drops, (LiveRefused,)),
        simulator=_simulator(settings, dev, simulator_at, address) if dev else None,
    )


async def make_indexes(parts: Parts) -> None:
    collections = (
        parts.users,
        parts.tokens,
        parts.rooms,
        parts.members,
        parts.places,
        parts.letters,
        parts.inbox,
        parts.relays,
        parts.gifts,
        parts.blocks,
        parts.configs,
        parts.likes,
        parts.orders,
        parts.audit,
        parts.ledger,
        parts.ranks,
        parts.errand_store,
    )
    with parts.database.patiently():
        for collection in collections:
            await collection.make_indexes()


class Ears:
    """Whom the keeper tells: the room's sockets, and those who listen on Tencent IM."""

    def __init__(self, hub: Hub, relay: Relay | None) -> None:
        self._hub = hub
        self._relay = relay

    def tell(self, live_id: int, told: Sequence[Numbered]) -> None:
        self._hub.tell(live_id, told)
        if self._relay:
            self._relay.tell(live_id, told)

    def stir(self, live_id: int) -> None:
        self._hub.stir(live_id)
        if self._relay:
            self._relay.stir(live_id)

    def show_out(self, live_id: int, user_id: str, number: int, *, barred: bool) -> None:
        self._hub.show_out(live_id, user_id, number, barred=barred)


async def take_down(parts: Parts) -> None:
    await parts.bus.close()
    for service in parts.outside:
        service.close()
    await parts.database.close()


def spread(seconds: float) -> int:
    """A moment within the next `seconds`, in ms: nobody comes back at the same one."""
    return random.randint(100, max(100, int(seconds * 1000)))


def _bus(settings: Settings, process: str) -> LocalBus | RedisBus:
    if not settings.redis.url:
        return LocalBus()
    return RedisBus(settings.redis.url, settings.mongodb.database, process)


def _patience(settings: Settings) -> Patience:
    presence = settings.presence
    return Patience(
        shown=int(presence.shown_after_seconds * 1000),
        viewer=int(presence.viewer_seconds * 1000),
        guest=int(presence.guest_seconds * 1000),
        host=int(presence.host_seconds * 1000),
    )


def _relay(
    settings: Settings, relays: Relays, rooms: Rooms, members: Members, im: IM, live: LiveUrls
) -> Relay | None:
    async def look(live_id: int) -> Group | None:
        room = await rooms.load(live_id)
        if room is None:
            return None
        counts = (await members.counts([(live_id, room.epoch)]))[live_id]
        seats = [seat for seat in (room.male, room.female) if seat]
        return Group(
            group_id=room.group_id,
            host_id=room.host_id,
            epoch=room.epoch,
            version=room.version,
            live=room.live,
            num_list=counts.num_list,
            on_mic=[_accepted(seat, live.play(seat.stream, now_ms() // 1000)) for seat in seats],
        )

    return Relay(relays, rooms, im, look, is_away=as_refusal) if settings.im.relay else None


def _accepted(seat: Seat, play_url: str) -> MicroAccept:
    person = seat.person
    return {**person.face(), "play_url": play_url, "area": person.area, "age": person.age}


def _streams(settings: Settings, simulator: str) -> Streams:
    live = settings.live
    api = live.api_base or f"{simulator}/live"
    return Streams(api, live.secret_id, live.secret_key, live.push_domain)


def _live_urls(settings: Settings) -> LiveUrls:
    live = settings.live
    return LiveUrls(
        live.push_domain, live.play_domain, live.push_key, live.play_key, live.url_seconds
    )


def _first_app(settings: Settings) -> str:
    """The mini-program whose message push comes here."""
    return next(iter(settings.wechat.apps), "")


def _xpay(settings: Settings, wechat: Outside, apps: Mapping[str, str]) -> XPay:
    pay, tokens = settings.pay, AccessTokens(wechat, apps)
    return XPay(wechat, tokens, pay.offer_id, pay.app_key, sandbox=pay.sandbox)


def _jsapi(settings: Settings, service: Outside, address: str) -> JsapiPay:
    pay = settings.pay
    return JsapiPay(
        service,
        pay.mchid,
        pay.serial_no,
        pay.private_key,
        {pay.public_key_id: pay.public_key, **pay.platform_keys},
        pay.apiv3_key,
        f"{settings.server.public_url or address}/wx/api/qlive/qlive_pay/notify/",
    )


def _drop_stream(streams: Streams) -> Does:
    async def drop_stream(errand: Payload) -> None:
        await streams.drop(errand["stream"])

    return drop_stream


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

    async def kick_out(errand: Payload) -> None:
        if now_ms() > errand["n"]:
            return  # they may be back by now
        word = kickout(errand["user_id"], errand["group_id"], errand["n"])
        await im.send_text(word.to, word.text, word.random, word.seconds)

    return {
        "account_import": account_import,
        "portrait_set": portrait_set,
        "destroy_group": destroy_group,
        "kick_out": kick_out,
    }


def _simulator(
    settings: Settings, dev: DevSecrets, elsewhere: str, address: str
) -> Simulator | SimulatorElsewhere:
    return SimulatorElsewhere(elsewhere) if elsewhere else make_simulator(settings, dev, address)


def make_simulator(settings: Settings, dev: DevSecrets, address: str) -> Simulator:
    """`address` is where the server is reached that hears its reports."""
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
        live_secret_id=settings.live.secret_id,
        live_secret_key=settings.live.secret_key,
        offer_id=settings.pay.offer_id,
        app_key=settings.pay.app_key,
        sandbox=settings.pay.sandbox,
        push_token=settings.pay.push_token,
        push_aes_key=settings.pay.push_aes_key,
        push_to=f"{settings.server.public_url or address}/wx/api/qlive/qlive_pay/xpay_notify/",
    )
