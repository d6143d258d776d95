"""Gold: the catalogue, gifts, and the ledger."""

from config.settings import Settings
from ledger.giving import GivingRules
from realtime.bus import Bus
from services.accounts.age_verification import AgeVerificationService
from services.gold.catalogue import CatalogueService
from services.gold.gifts import GiftService
from services.gold.ledger import LedgerService, LockUsers
from services.gold.ledger_audit import LedgerAudit
from services.moderation.user_safety import UserSafetyService
from services.room_changes import RoomChanges
from storage.stores import Stores


class GoldServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        room_changes: RoomChanges,
        bus: Bus,
        lock: LockUsers,
        age_verification: AgeVerificationService,
        user_safety: UserSafetyService,
    ) -> None:
        rules = GivingRules(**settings.giving.model_dump())
        self.catalogue = CatalogueService(stores.gifts, stores.configs, bus)
        self.gifts = GiftService(
            stores.ledger,
            stores.members,
            room_changes,
            lock,
            self.catalogue,
            rules,
            stores.webhooks,
            age_verification,
            user_safety,
        )
        self.ledger = LedgerService(stores.ledger, lock)
        self.audit = LedgerAudit(stores.job_leases, stores.ledger_reconciler, stores.orders)
