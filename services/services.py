"""Builds all use cases of one process on its parts, noun by noun."""

from typing import Any

from services.accounts import AccountServices
from services.accounts.user_channels import UserChannelService
from services.chat import ChatServices
from services.chat.im_relay import ImRelay
from services.chat.outbox_actions import ImActions, live_streaming_actions
from services.doctor.arrivals import ArrivalService
from services.doctor.switches import SwitchService
from services.gold import GoldServices
from services.jobs.claimed_jobs import ClaimedJob
from services.moderation import ModerationServices
from services.moderation.decisions import DecisionService
from services.operators import OperatorServices
from services.parts import Parts
from services.payments import PaymentServices
from services.payments.payment_notifications import Followers
from services.payouts import PayoutServices
from services.refunds.refund_cases import RefundCaseService
from services.rooms import RoomServices
from services.rooms.presence import Presence
from services.rooms.room_access import RoomAccess
from services.webhooks.webhooks import WebhookService
from storage.jobs.outbox import DELETE_OBJECT


class Services:
    """All use cases of one process, and its background jobs."""

    def __init__(
        self,
        parts: Parts,
        access: RoomAccess,
        user_channels: UserChannelService,
        relay: ImRelay | None,
        presence: Presence,
    ) -> None:
        settings, stores, tencent = parts.settings, parts.stores, parts.tencent
        self.arrivals = ArrivalService(stores.arrivals, parts.metrics)
        self.switches = SwitchService(settings, stores, parts.database)
        self.moderation = ModerationServices(parts)
        self.chat = ChatServices(parts, relay, self.moderation)
        retire_host = self.chat.groups.retire_host
        self.accounts = AccountServices(parts, user_channels, self.moderation, retire_host)
        self.rooms = RoomServices(
            parts, access, presence, self.moderation, self.chat, self.accounts
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
        self.gold = GoldServices(parts, self.accounts.age_verification, self.moderation.user_safety)
        self.operators = OperatorServices(parts, self.gold)
        self.payouts = PayoutServices(parts, self.operators)
        self.refunds = RefundCaseService(
            stores,
            self.operators.approvals,
            self.payouts.withdrawals,
            tencent.providers,
            parts.locks.lock,
        )
        followers = Followers(
            self.refunds.apply,
            self.payouts.transfers.reprocess,
            self.accounts.data_requests.plan_deletion_of,
        )
        self.payments = PaymentServices(parts, followers)
        is_development = settings.environment == "development"
        self.webhooks = WebhookService(
            stores, parts.bus, parts.metrics, allows_local=is_development
        )
        self.claimed_jobs = self._claimed_jobs(parts)
        """Jobs that share one loop. The relay has its own, since it works all the time."""

    def _claimed_jobs(self, parts: Parts) -> list[ClaimedJob[Any]]:
        im_actions = ImActions(
            parts.tencent.im,
            parts.stores,
            self.chat.groups,
            self.accounts.profiles.show_in_room,
            self.rooms.removals.enforce_ban,
        )
        return [
            *parts.lanes.jobs(
                {**im_actions.by_kind, **self.rooms.renewals.by_kind},
                live_streaming_actions(parts.tencent.live_streaming),
                {DELETE_OBJECT: self.accounts.pictures.delete},
            ),
            *self.payments.unpaid_orders.jobs.values(),
            self.payouts.transfers.job,
            self.refunds.job,
            self.decisions.job,
            self.accounts.data_requests.job,
            self.rooms.presence.job,
            *([self.accounts.notices.job] if parts.settings.notices.template_id else []),
            self.webhooks.job,
        ]
