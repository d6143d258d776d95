"""Builds all use cases of one process on shared stores and clients, noun by noun."""

from typing import Any

from config.settings import Settings
from core.limits import NamedLocks
from realtime.bus import Bus
from realtime.hub import Hub
from services.accounts import AccountServices
from services.accounts.user_channels import UserChannelService
from services.chat import ChatServices
from services.chat.im_relay import ImRelay
from services.chat.outbox_actions import ImActions, live_streaming_actions
from services.doctor.arrivals import ArrivalService
from services.doctor.switches import SwitchService
from services.gold import GoldServices
from services.jobs.claimed_jobs import ClaimedJob
from services.jobs.outbox_jobs import OutboxLanes
from services.moderation import ModerationServices
from services.moderation.decisions import DecisionService
from services.operators import OperatorServices
from services.payments import PaymentServices
from services.payments.payment_notifications import Followers
from services.payouts import PayoutServices
from services.refunds.refund_cases import RefundCaseService
from services.room_changes import RoomChanges
from services.rooms import RoomServices
from services.rooms.presence import Presence
from services.rooms.room_access import RoomAccess
from services.webhooks.webhooks import WebhookService
from storage.database import Database
from storage.jobs.outbox import DELETE_OBJECT
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients


class Services:
    """All use cases of one process, and its background jobs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        stores: Stores,
        tencent: TencentClients,
        bus: Bus,
        hub: Hub,
        room_changes: RoomChanges,
        access: RoomAccess,
        user_channels: UserChannelService,
        relay: ImRelay | None,
        presence: Presence,
        process_id: str,
        metrics: Metrics,
    ) -> None:
        lock, lanes = NamedLocks().lock, OutboxLanes(stores.outbox)
        self.arrivals = ArrivalService(stores.arrivals, metrics)
        self.switches = SwitchService(settings, stores, database)
        self.moderation = ModerationServices(settings, stores, tencent.content_security)
        self.chat = ChatServices(settings, stores, tencent.im, room_changes, relay, self.moderation)
        self.accounts = AccountServices(
            settings,
            stores,
            tencent,
            bus,
            hub,
            room_changes,
            user_channels,
            process_id,
            lanes,
            self.moderation,
            self.chat.groups.retire_host,
            metrics,
        )
        self.rooms = RoomServices(
            settings,
            stores,
            tencent,
            bus,
            room_changes,
            access,
            presence,
            lanes,
            self.moderation,
            self.chat,
            self.accounts,
        )
        self.decisions = DecisionService(
            stores,
            self.moderation.proposals,
            {
                "nickname": self.accounts.profiles.apply,
                "face": self.accounts.profiles.apply,
                "room_name": self.rooms.lives.apply,
                "cover": self.rooms.lives.apply,
                "stream": self.rooms.streams.apply,
            },
        )
        self.gold = GoldServices(
            settings,
            stores,
            room_changes,
            bus,
            lock,
            self.accounts.age_verification,
            self.moderation.user_safety,
        )
        self.operators = OperatorServices(settings, stores, self.gold)
        self.payouts = PayoutServices(settings, stores, tencent, lock, self.operators)
        self.refunds = RefundCaseService(
            stores,
            self.operators.approvals,
            self.payouts.withdrawals,
            tencent.providers,
            lock,
        )
        followers = Followers(
            self.refunds.apply,
            self.payouts.transfers.reprocess,
            self.accounts.data_requests.plan_deletion_of,
        )
        self.payments = PaymentServices(settings, stores, tencent, metrics, lock, followers)
        is_development = settings.environment == "development"
        self.webhooks = WebhookService(stores, bus, metrics, allows_local=is_development)
        im_actions = ImActions(
            tencent.im,
            stores,
            self.chat.groups,
            self.accounts.profiles.show_in_room,
            self.rooms.removals.enforce_ban,
            self.rooms.lives.renew,
        )
        self.claimed_jobs: list[ClaimedJob[Any]] = [
            *lanes.jobs(
                im_actions.by_kind,
                live_streaming_actions(tencent.live_streaming),
                {DELETE_OBJECT: self.accounts.pictures.delete},
            ),
            *self.payments.unpaid_orders.jobs.values(),
            self.payouts.transfers.job,
            self.refunds.job,
            self.decisions.job,
            self.accounts.data_requests.job,
            presence.job,
            *([self.accounts.notices.job] if settings.notices.template_id else []),
            self.webhooks.job,
        ]
        """Jobs that share one loop. The relay has its own, since it works all the time."""
