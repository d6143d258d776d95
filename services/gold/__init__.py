"""Gold: the catalogue, gifts, and the ledger."""

from ledger.giving import GivingRules
from services.accounts.age_verification import AgeVerificationService
from services.gold.catalogue import CatalogueService
from services.gold.gifts import GiftService
from services.gold.ledger import LedgerService
from services.gold.ledger_audit import LedgerAudit
from services.moderation.user_safety import UserSafetyService
from services.parts import Parts


class GoldServices:
    def __init__(
        self,
        parts: Parts,
        age_verification: AgeVerificationService,
        user_safety: UserSafetyService,
    ) -> None:
        stores, lock = parts.stores, parts.locks.lock
        self.catalogue = CatalogueService(stores.gifts, stores.configs, parts.bus)
        self.gifts = GiftService(
            stores,
            parts.room_changes,
            self.catalogue,
            age_verification,
            user_safety,
            lock=lock,
            rules=GivingRules(**parts.settings.giving.model_dump()),
        )
        self.ledger = LedgerService(stores.ledger, lock)
        self.audit = LedgerAudit(stores.job_leases, stores.ledger_reconciler, stores.orders)
