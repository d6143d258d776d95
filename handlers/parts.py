"""What the handlers work with: the parts that server.py builds and connects."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from handlers.metrics import Metrics
from money.teller import Teller
from realtime.hub import Hub
from rooms.keeper import Keeper
from settings import Settings
from storage.audit import Audit
from storage.blocks import Blocks
from storage.configs import Configs
from storage.database import Database
from storage.errands import Errands as ErrandStore
from storage.gifts import Gifts
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


@dataclass(slots=True)
class Parts:
    settings: Settings
    metrics: Metrics
    database: Database
    users: Users
    tokens: Tokens
    rooms: Rooms
    members: Members
    gifts: Gifts
    blocks: Blocks
    configs: Configs
    likes: Likes
    orders: Orders
    audit: Audit
    ledger: Ledger
    errand_store: ErrandStore
    keeper: Keeper
    teller: Teller
    hub: Hub
    outside: list[Outside]
    wechat: WeChat
    sigs: UserSigs
    im: IM
    live: LiveUrls
    pay: JsapiPay
    errands: Errands
    simulator: Simulator | None = None
    draining: bool = False
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
