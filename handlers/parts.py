"""What the handlers work with: the parts that server.py builds and connects."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from handlers.books import Books
from handlers.catalogue import Catalogue
from handlers.gate import Gate
from handlers.giving import Giving
from handlers.handshakes import Handshakes
from handlers.livelist import Listed
from handlers.metrics import Metrics
from handlers.owners import Owners
from money.cashier import Cashier
from money.sweep import Sweep
from money.teller import Teller
from realtime.bus import LocalBus
from realtime.hub import Hub
from realtime.lease import Lease
from realtime.presence import Presence
from realtime.redis_bus import RedisBus
from rooms.keeper import Keeper
from settings import Settings
from storage.audit import Audit
from storage.blocks import Blocks
from storage.configs import Configs
from storage.database import Database
from storage.errands import Errands as ErrandStore
from storage.gifts import Gifts
from storage.inbox import Inbox
from storage.ledger import Ledger
from storage.letters import Letters
from storage.likes import Likes
from storage.members import Members
from storage.orders import Orders
from storage.overview import Overview
from storage.presence import Presences
from storage.rankings import Rankings
from storage.ranks import Ranks
from storage.relays import Relays
from storage.rooms import Rooms
from storage.shared import Shared
from storage.tokens import Tokens
from storage.users import Users
from storage.vault import Vault
from tencent.errands import Errands
from tencent.im import IM
from tencent.live import LiveUrls
from tencent.outside import Outside
from tencent.pay import JsapiPay
from tencent.pushes import Pushes
from tencent.relay import Relay
from tencent.simulator.relay import Relay as SimulatorElsewhere
from tencent.simulator.simulator import Simulator
from tencent.usersig import UserSigs
from tencent.wechat import WeChat
from tencent.xpay import XPay


@dataclass(slots=True)
class Parts:
    settings: Settings
    metrics: Metrics
    database: Database
    users: Users
    tokens: Tokens
    owners: Owners
    rooms: Rooms
    members: Members
    gifts: Gifts
    blocks: Blocks
    configs: Configs
    likes: Likes
    orders: Orders
    audit: Audit
    ledger: Ledger
    ranks: Ranks
    rankings: Rankings
    books: Books
    overview: Overview
    errand_store: ErrandStore
    fullest: Shared[list[Listed]]
    relays: Relays
    keeper: Keeper
    teller: Teller
    giving: Giving
    catalogue: Catalogue
    process: str
    """The name of this process among the others."""
    bus: LocalBus | RedisBus
    hub: Hub
    places: Presences
    lease: Lease
    presence: Presence
    letters: Letters
    inbox: Inbox
    handshakes: Handshakes
    gate: Gate
    outside: list[Outside]
    wechat: WeChat
    sigs: UserSigs
    im: IM
    relay: Relay | None
    live: LiveUrls
    jsapi: JsapiPay | None
    """None where the settings have no merchant's key."""
    xpay: XPay
    pushes: Pushes
    cashier: Cashier
    sweep: Sweep
    vault: Vault
    errands: Errands
    drops: Errands
    """The errands of the live service."""
    simulator: Simulator | SimulatorElsewhere | None = None
    draining: bool = False
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    """The sockets that are open."""
    under_way: int = 0
    """Requests being answered now."""

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is answered; a caller who hangs up half-way was none."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
