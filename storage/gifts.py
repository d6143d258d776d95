"""gifts: the gift catalogue; `gold` is the unit price."""

from storage.catalogue import CatalogueStore
from storage.errors import GiftNotFound


class GiftStore(CatalogueStore):
    name, not_found_error = "gifts", GiftNotFound
