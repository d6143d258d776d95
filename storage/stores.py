"""All stores of one database."""

from config.settings import Settings
from rooms.members import GracePolicy
from storage.accounts.deletions import DeletionStore
from storage.accounts.exports import ExportStore
from storage.accounts.follows import FollowStore
from storage.accounts.matches import MatchStore
from storage.accounts.notices import ConsentStore, LiveNoticeStore
from storage.accounts.tokens import CodeSessionStore, EvictionStore, TokenStore
from storage.accounts.users import UserStore
from storage.chat import ChatLineStore, RelayCursorStore, RoomGroupStore
from storage.database import Database
from storage.field_cipher import FieldCipher
from storage.fleet import FleetStore
from storage.gold.catalogue import ConfigStore, GiftStore, RechargeBlockStore
from storage.gold.ledger import LedgerStore
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.gold.rankings import RankingStore
from storage.gold.statements import SpentGoldStore, StatementStore
from storage.identities import IdentityStore
from storage.jobs.arrivals import ArrivalStore
from storage.jobs.due import JobLeaseStore
from storage.jobs.inbox import InboxStore
from storage.jobs.outbox import OutboxStore
from storage.migrations import Migrator
from storage.moderation import ModerationStore, UserBlockStore
from storage.operators.approvals import ApprovalStore
from storage.operators.audit import AuditStore
from storage.operators.operators import OperatorSessionStore, OperatorStore
from storage.payments.bills import BillStore
from storage.payments.orders import OrderStore
from storage.payouts.withdrawal_reports import WithdrawalReportStore
from storage.payouts.withdrawals import PayeeStore, WithdrawalStore
from storage.refunds.refund_cases import RefundCaseStore
from storage.rooms.members import MemberStore
from storage.rooms.presence import PresenceStore
from storage.rooms.renewals import RenewalStore
from storage.rooms.rooms import RoomStore
from storage.rooms.summaries import SummaryStore
from storage.rooms.visits import VisitStore
from storage.user_channels import Changed, UserChannelStore
from storage.webhooks.deliveries import DeliveryStore
from storage.webhooks.webhooks import WebhookStore


class Stores:
    """One instance of each store for a process."""

    def __init__(
        self, database: Database, settings: Settings, grace: GracePolicy, user_changed: Changed
    ) -> None:
        """Have `user_changed` called after each commit that changes what a user is shown."""
        cipher = FieldCipher(settings.auth.encryption_key)
        self.members = MemberStore(database)
        self.user_channels = UserChannelStore(database, user_changed)
        self.webhooks = WebhookStore(database, cipher)
        self.deliveries = DeliveryStore(database)
        self.users = UserStore(database, self.members, self.user_channels, self.webhooks, cipher)
        self.code_sessions = CodeSessionStore(database, cipher)
        self.tokens = TokenStore(database)
        self.outbox = OutboxStore(database)
        self.exports = ExportStore(database, cipher)
        self.user_blocks = UserBlockStore(database)
        self.matches = MatchStore(database)
        self.deletions = DeletionStore(database, self.outbox, self.matches, self.webhooks)
        self.visits = VisitStore(database)
        self.summaries = SummaryStore(database, self.visits)
        self.consents = ConsentStore(database)
        self.live_notices = LiveNoticeStore(database)
        self.rooms = RoomStore(database)
        self.renewals = RenewalStore(database, self.outbox)
        self.identities = IdentityStore(database)
        self.room_groups = RoomGroupStore(database)
        self.chat_lines = ChatLineStore(database, settings.retention.chat_days)
        self.presence = PresenceStore(database, grace)
        self.evictions = EvictionStore(database)
        self.inbox = InboxStore(database)
        self.arrivals = ArrivalStore(database)
        self.relay_cursors = RelayCursorStore(database)
        self.gifts = GiftStore(database)
        self.blocks = RechargeBlockStore(database)
        self.configs = ConfigStore(database)
        self.follows = FollowStore(database)
        self.orders = OrderStore(database, settings.retention.unpaid_order_days)
        self.bills = BillStore(database, cipher)
        self.approvals = ApprovalStore(database)
        is_development = settings.environment == "development"
        self.operators = OperatorStore(database, cipher, admits_demo=is_development)
        self.operator_sessions = OperatorSessionStore(database)
        self.audit = AuditStore(database, settings.retention.audit_days)
        moderation_days = settings.retention.moderation_days
        self.moderation = ModerationStore(
            database, self.outbox, self.user_channels, self.webhooks, moderation_days
        )
        self.rankings = RankingStore(database)
        self.ledger = LedgerStore(
            database, self.rankings, settings.withdraw.ios_maturity_days, user_changed
        )
        self.withdrawals = WithdrawalStore(database, self.user_channels, self.webhooks)
        self.withdrawal_reports = WithdrawalReportStore(database, cipher)
        self.payees = PayeeStore(database, cipher)
        self.refund_cases = RefundCaseStore(database, self.user_channels, self.webhooks)
        self.spent_gold = SpentGoldStore(database)
        self.statements = StatementStore(database)
        self.job_leases = JobLeaseStore(database)
        self.fleet = FleetStore(database, self.outbox)
        self.ledger_reconciler = LedgerReconciler(database)
        self.migrator = Migrator(database)
        self._database = database

    async def make_indexes(self) -> None:
        indexed = [store for store in vars(self).values() if hasattr(store, "make_indexes")]
        with self._database.slow_operation_timeout():
            for store in indexed:
                await store.make_indexes()
