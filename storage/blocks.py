"""blocks: the recharge catalogue; an amount of gold for a price in fen."""

from storage.catalogue import CatalogueStore
from storage.errors import BlockNotFound


class RechargeBlockStore(CatalogueStore):
    name, not_found_error = "blocks", BlockNotFound
    order = (("fen", 1), ("_id", 1))
