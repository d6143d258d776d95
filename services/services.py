"""Builds all use cases of one process on shared stores and clients."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from core.locks import NamedLocks
from realtime.bus import Bus
from realtime.hub import Hub
from services.approvals import ApprovalService
from services.callbacks import CallbackService
from services.catalogue import CatalogueService
from services.claimed_jobs import ClaimedJob
from services.evictions import EvictionService
from services.gifts import GiftService
from services.group_repairs import GROUP_KINDS, GroupRepairs
from services.groups import GroupService
from services.im_relay import ImRelay
from services.inbox import InboxService
from services.keeper import Keeper
from services.ledger import LedgerService
from services.ledger_audit import LedgerAudit
from services.live_rooms import LiveRoomService
from services.moderation import ModerationService
from services.open_transfers import OpenTransferSweep, TransferNoticeService
from services.operators import OperatorService
from services.outbox_actions import CSS_KINDS, css_actions, im_actions
from services.outbox_jobs import OutboxJob
from services.payment_notifications import PaymentNotificationService
from services.payments import PaymentService
from services.platform_events import PlatformEventService
from services.presence import Presence
from services.profiles import ProfileService, show_in_room
from services.recharge import RechargeService
from services.refund_cases import RefundCaseService
from services.refund_sweep import RefundCaseSweep
from services.room_access import RoomAccess
from services.room_list import RoomList
from services.sanction_actions import sanction_actions
from services.sessions import SessionService
from services.sign_in import SignInService
from services.token_cache import TokenCache
from services.transfers import TransferService, WithdrawalChanges
from services.unpaid_orders import UnpaidOrderSweep
from services.withdrawal_reports import WithdrawalReports
from services.withdrawals import WithdrawalService
from storage.field_cipher import FieldCipher
from storage.stores import Stores
from tencent.clients import TencentClients
from tencent.errors import CssRejected, ImRejected
from tencent.notifications import JSAPI
from tencent.pay import JsapiClient
from tencent.xpay import PROVIDER as XPAY
from tencent.xpay import XpayClient


class Services:
    """All use cases of one process, and its background jobs."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        bus: Bus,
        hub: Hub,
        keeper: Keeper,
        presence: Presence,
        im_relay: ImRelay | None,
        room_access: RoomAccess,
        group_repairs: GroupRepairs,
        process_id: str,
        count_refused_query: Callable[[str, str], None],
    ) -> None:
        hold, encryption_key = NamedLocks().hold, settings.auth.encryption_key
        cipher = FieldCipher(encryption_key)
        outbox, providers = stores.outbox, _providers(tencent)
        self.groups = groups = GroupService(stores.room_groups, keeper, tencent.im, outbox)
        self.im_relay = im_relay
        show_profile = functools.partial(show_in_room, stores, keeper, hub)
        to_im = im_actions(tencent.im, stores.users, groups, show_profile) | sanction_actions(
            tencent.im,
            stores.users,
            stores.rooms,
            stores.tokens,
            self._enforce_ban,
            group_repairs,
        )
        to_css = css_actions(tencent.css)
        im_queue, css_queue = outbox.without(*CSS_KINDS), outbox.only(*CSS_KINDS)
        self.im_outbox = OutboxJob("im_outbox", im_queue, to_im, (ImRejected,))
        self.im_safety_outbox = OutboxJob(
            "im_safety_outbox",
            outbox.without(*CSS_KINDS, *GROUP_KINDS).urgent(),
            to_im,
            (ImRejected,),
        )
        self.group_outbox = OutboxJob(
            "group_outbox", outbox.only(*GROUP_KINDS).urgent(), to_im, (ImRejected,)
        )
        self.css_outbox = OutboxJob("css_outbox", css_queue, to_css, (CssRejected,))
        self.css_safety_outbox = OutboxJob(
            "css_safety_outbox", css_queue.urgent(), to_css, (CssRejected,)
        )
        self.token_cache = TokenCache(stores.tokens, bus)
        self.evictions = EvictionService(stores.evictions, bus, process_id)
        self.sessions = SessionService(stores, self.evictions, self.im_safety_outbox)
        self.moderation = ModerationService(
            stores,
            keeper,
            self.evictions,
            self.sessions,
            self.im_outbox,
            self.im_safety_outbox,
            has_im_relay=im_relay is not None,
        )
        self.sign_in = SignInService(
            stores,
            tencent.wechat,
            keeper,
            self.sessions,
            self.im_outbox,
            cipher,
            keeps_session_keys=settings.pay.provider == XPAY,
        )
        self.profiles = ProfileService(stores, show_profile, self.im_outbox)
        self.live_rooms = LiveRoomService(
            stores, keeper, presence, groups, group_repairs, tencent.stream_urls
        )
        self.room_access = room_access
        self.room_list = RoomList(stores.rooms, stores.members)
        self.catalogue = CatalogueService(stores.gifts, stores.configs, bus)
        self.gifts = GiftService(stores.ledger, stores.members, keeper, hold, self.catalogue)
        self.ledger = LedgerService(stores.ledger, hold)
        self.approvals = ApprovalService(
            stores.approvals,
            stores.operators,
            self.ledger,
            self.catalogue,
            {"config": stores.configs, "block": stores.blocks},
            settings.ops.second_person_gold,
        )
        self.ledger_audit = LedgerAudit(stores.job_leases, stores.ledger_reconciler, stores.orders)
        self.payments = PaymentService(stores.ledger, stores.orders, hold)
        changes = WithdrawalChanges(stores.ledger, stores.withdrawals, hold)
        transfers = TransferService(changes, stores.payees, cipher, tencent.transfers)
        self.withdrawals = WithdrawalService(
            stores.withdrawals,
            stores.payees,
            stores.ledger,
            changes,
            transfers,
            stores.configs,
            cipher,
            hold,
            settings.withdraw,
            self.approvals.is_permitted,
            is_enabled=settings.withdrawals_are_on,
        )
        self.transfer_notices = TransferNoticeService(
            transfers, tencent.transfers.notifications if tencent.transfers else None
        )
        self.withdrawal_reports = WithdrawalReports(stores.withdrawal_reports, cipher)
        self.open_transfers = OpenTransferSweep(stores.withdrawals, transfers)
        self.refund_cases = RefundCaseService(
            stores.refund_cases,
            stores.orders,
            stores.ledger,
            stores.spent_gold,
            self.approvals,
            hold,
        )
        self.refund_sweep = RefundCaseSweep(
            stores.refund_cases,
            stores.orders,
            stores.ledger,
            self.withdrawals,
            providers,
            hold,
        )
        self.recharge = RechargeService(
            stores.orders,
            stores.blocks,
            stores.users,
            cipher,
            providers,
            hold,
            settings.pay,
        )
        self.inbox = InboxService(stores.inbox)
        self.callbacks = CallbackService(
            presence,
            outbox,
            self.css_outbox,
            stores.room_groups,
            group_repairs,
        )
        self.payment_notifications = PaymentNotificationService(
            self.inbox,
            stores.inbox,
            stores.orders,
            self.payments,
            PlatformEventService(stores.orders, stores.ledger, stores.spent_gold),
            self.refund_cases,
            self.transfer_notices,
            tencent.jsapi,
            tencent.xpay,
        )
        self.operators = OperatorService(
            stores.operators,
            stores.operator_sessions,
            cipher if encryption_key else None,
        )
        self.unpaid_orders = UnpaidOrderSweep(
            stores.orders, self.payments, providers, count_refused_query
        )

    @property
    def claimed_jobs(self) -> list[ClaimedJob[Any]]:
        """Jobs that share one loop. The relay has its own, since it works all the time."""
        return [
            self.im_safety_outbox,
            self.css_safety_outbox,
            self.im_outbox,
            self.css_outbox,
            self.group_outbox,
            *self.unpaid_orders.jobs.values(),
            self.open_transfers,
            self.refund_sweep,
        ]

    async def _enforce_ban(self, user_id: str) -> None:
        """For the jobs of the outbox, which are built before `moderation`."""
        await self.moderation.enforce_ban(user_id)


def _providers(tencent: TencentClients) -> Mapping[str, JsapiClient | XpayClient]:
    """Payment clients by provider name, as stored in orders."""
    clients: dict[str, JsapiClient | XpayClient] = {XPAY: tencent.xpay}
    return clients | ({JSAPI: tencent.jsapi} if tencent.jsapi else {})
