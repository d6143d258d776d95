"""Gold: the catalogue, gifts, and the ledger."""

from config.settings import Settings
from ledger.giving import GivingRules
from realtime.bus import Bus
from services.gold.catalogue import CatalogueService
from services.gold.gifts import GiftService
from services.gold.ledger import LedgerService, LockUsers
from services.gold.ledger_audit import LedgerAudit
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
        )
        self.ledger = LedgerService(stores.ledger, lock)
        self.audit = LedgerAudit(stores.job_leases, stores.ledger_reconciler, stores.orders)
