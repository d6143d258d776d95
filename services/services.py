"""Builds all use cases of one process on shared stores and clients."""

from typing import Any

from config.settings import Settings
from core.locks import NamedLocks
from ledger.giving import GivingRules
from realtime.bus import Bus
from realtime.hub import Hub
from services.accounts.age_verification import AgeVerificationService
from services.accounts.data_requests import DataRequestService
from services.accounts.pictures import DELETE_OBJECT, PictureService
from services.accounts.profiles import ProfileService
from services.accounts.sessions import EvictionService, SessionService
from services.accounts.sign_in import SignInService
from services.accounts.token_cache import TokenCache
from services.chat.groups import GROUP_KINDS, GroupService
from services.chat.im_relay import ImRelay
from services.chat.message_checks import MESSAGE_RATE, MessageCheckService
from services.chat.outbox_actions import ImActions, live_streaming_actions
from services.gold.catalogue import CatalogueService
from services.gold.gifts import GiftService
from services.gold.ledger import LedgerService
from services.gold.ledger_audit import LedgerAudit
from services.jobs.claimed_jobs import ClaimedJob
from services.jobs.outbox_jobs import OutboxJob
from services.moderation.moderation import ModerationService
from services.moderation.user_safety import UserSafetyService
from services.operators.approvals import ApprovalService
from services.operators.operators import OperatorService
from services.payments.bills import MERCHANT, TRANSFERS, VIRTUAL, BillService
from services.payments.payment_notifications import PaymentNotificationService
from services.payments.payments import PaymentService
from services.payments.recharge import RechargeService
from services.payments.unpaid_orders import UnpaidOrderSweep
from services.payouts.transfers import OpenTransferSweep, TransferService, WithdrawalChanges
from services.payouts.withdrawals import WithdrawalService
from services.refunds.refund_cases import RefundCaseService
from services.refunds.refund_sweep import RefundCaseSweep
from services.room_changes import RoomChanges
from services.rooms.callbacks import CallbackService
from services.rooms.live_rooms import LiveRoomService
from services.rooms.presence import Presence
from services.rooms.removals import RemovalService
from services.rooms.room_access import RoomAccess
from services.rooms.room_list import RoomList
from services.rooms.streams import StreamModerationService
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients
from tencent.xpay import PROVIDER as XPAY


class Services:
    """All use cases of one process, and its background jobs."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        bus: Bus,
        hub: Hub,
        room_changes: RoomChanges,
        presence: Presence,
        im_relay: ImRelay | None,
        room_access: RoomAccess,
        process_id: str,
        metrics: Metrics,
    ) -> None:
        lock, outbox, providers = NamedLocks().lock, stores.outbox, tencent.providers
        self.groups = groups = GroupService(stores.room_groups, room_changes, tencent.im, outbox)
        self.im_relay = im_relay
        to_im = ImActions(
            tencent.im,
            stores,
            groups,
            lambda user_id: self.profiles.show_in_room(user_id),  # noqa: PLW0108 - built later
            lambda user_id: self.removals.enforce_ban(user_id),  # noqa: PLW0108 - built later
        ).by_kind
        to_live_streaming = live_streaming_actions(tencent.live_streaming)
        live_streaming_kinds = (*to_live_streaming,)
        other_kinds, css = (
            (*live_streaming_kinds, *GROUP_KINDS),
            outbox.view(only=live_streaming_kinds),
        )
        im_safety = outbox.view(urgent=True, without=other_kinds)
        group_queue = outbox.view(urgent=True, only=GROUP_KINDS)
        live_streaming_safety = outbox.view(urgent=True, only=live_streaming_kinds)
        self.im_outbox = OutboxJob("im_outbox", outbox.view(without=live_streaming_kinds), to_im)
        self.im_safety_outbox = OutboxJob("im_safety_outbox", im_safety, to_im)
        self.group_outbox = OutboxJob("group_outbox", group_queue, to_im)
        self.live_streaming_outbox = OutboxJob("live_streaming_outbox", css, to_live_streaming)
        self.live_streaming_safety_outbox = OutboxJob(
            "live_streaming_safety_outbox", live_streaming_safety, to_live_streaming
        )
        self.token_cache = TokenCache(stores.tokens, bus)
        self.evictions = EvictionService(stores.evictions, bus, process_id)
        self.sessions = SessionService(stores, self.evictions, self.im_safety_outbox)
        self.removals = RemovalService(
            stores,
            room_changes,
            self.evictions,
            self.sessions,
            self.im_safety_outbox,
            has_im_relay=im_relay is not None,
        )
        self.data_requests = DataRequestService(
            stores, room_changes, self.sessions, self.removals.retire_matchmaker
        )
        self.streams = StreamModerationService(
            stores, room_changes, self.live_streaming_safety_outbox, settings.moderation
        )
        self.moderation = ModerationService(stores, tencent.content_security, settings.moderation)
        self.user_safety = UserSafetyService(stores, tencent.content_security, settings.moderation)
        self.age_verification = AgeVerificationService(
            stores.users, tencent.faceid, settings.age_verification
        )
        self.pictures = PictureService(tencent.cos, stores, settings.uploads, settings.moderation)
        to_cos = {DELETE_OBJECT: self.pictures.delete}
        self.cos_outbox = OutboxJob("cos_outbox", outbox.later(), to_cos, idle=10.0)
        self.profiles = ProfileService(stores, room_changes, hub, self.pictures, self.moderation)
        self.sign_in = SignInService(
            stores,
            tencent.wechat,
            room_changes,
            self.sessions,
            self.profiles,
            self.user_safety,
            keeps_session_keys=settings.pay.provider == XPAY,
        )
        self.live_rooms = LiveRoomService(
            stores,
            room_changes,
            presence,
            groups,
            tencent.stream_urls,
            self.pictures,
            self.moderation,
        )
        self.moderation.effects = {
            "nickname": self.profiles.apply,
            "face": self.profiles.apply,
            "room_name": self.live_rooms.apply,
            "cover": self.live_rooms.apply,
            "stream": self.streams.apply,
        }
        self.room_access = room_access
        self.room_list = RoomList(stores.rooms, stores.members)
        self.catalogue = CatalogueService(stores.gifts, stores.configs, bus)
        rules = GivingRules(**settings.giving.model_dump())
        self.gifts = GiftService(
            stores.ledger, stores.members, room_changes, lock, self.catalogue, rules
        )
        self.ledger = LedgerService(stores.ledger, lock)
        self.approvals = ApprovalService(
            stores.approvals,
            stores.operators,
            self.ledger,
            self.catalogue,
            {"config": stores.configs, "block": stores.blocks},
            settings.ops.second_person_gold,
        )
        self.ledger_audit = LedgerAudit(stores.job_leases, stores.ledger_reconciler, stores.orders)
        self.payments = PaymentService(stores.ledger, stores.orders, lock)
        pay = settings.pay
        self.bills = BillService(
            stores.bills,
            tencent.bills,
            stores.orders,
            self.payments,
            providers,
            stores.job_leases,
            [
                *([MERCHANT] if tencent.jsapi else []),
                *([TRANSFERS] if tencent.jsapi and settings.withdrawals_are_on else []),
                *(VIRTUAL if pay.offer_id and pay.app_key and not pay.sandbox else []),
            ],
        )
        changes = WithdrawalChanges(stores.ledger, stores.withdrawals, lock)
        self.transfers = TransferService(changes, stores.payees, tencent.transfers)
        self.withdrawals = WithdrawalService(
            stores.withdrawals,
            stores.payees,
            stores.ledger,
            changes,
            self.transfers,
            stores.configs,
            lock,
            settings.withdraw,
            self.approvals.is_permitted,
            is_enabled=settings.withdrawals_are_on,
        )
        self.open_transfers = OpenTransferSweep(stores.withdrawals, self.transfers)
        self.refund_cases = RefundCaseService(
            stores.refund_cases,
            stores.orders,
            stores.ledger,
            stores.spent_gold,
            self.approvals,
            lock,
        )
        self.refund_sweep = RefundCaseSweep(
            stores.refund_cases,
            stores.orders,
            stores.ledger,
            self.withdrawals,
            stores.payees,
            providers,
            lock,
        )
        self.recharge = RechargeService(
            stores.orders, stores.blocks, stores.users, providers, lock, settings.pay
        )
        self.message_checks = MessageCheckService(
            stores,
            settings.im.admin,
            self.moderation.forbidden_words.found_in,
            MESSAGE_RATE.faster(settings.limits.factor),
        )
        self.callbacks = CallbackService(
            presence,
            outbox,
            stores.room_groups,
            stores.members,
            room_changes,
            self.streams,
        )
        self.payment_notifications = PaymentNotificationService(
            stores.inbox,
            stores.orders,
            self.payments,
            stores.ledger,
            stores.spent_gold,
            self.refund_cases.apply,
            self.transfers.reprocess,
            tencent.jsapi,
            tencent.xpay,
            self.data_requests.plan_deletion_of,
        )
        self.operators = OperatorService(stores.operators, stores.operator_sessions)
        self.unpaid_orders = UnpaidOrderSweep(
            stores.orders, self.payments, providers, metrics.callbacks_refused
        )

    @property
    def claimed_jobs(self) -> list[ClaimedJob[Any]]:
        """Jobs that share one loop. The relay has its own, since it works all the time."""
        return [
            self.im_safety_outbox,
            self.live_streaming_safety_outbox,
            self.im_outbox,
            self.live_streaming_outbox,
            self.group_outbox,
            self.cos_outbox,
            *self.unpaid_orders.jobs.values(),
            self.open_transfers,
            self.refund_sweep,
            self.moderation.job,
            self.data_requests.job,
        ]
