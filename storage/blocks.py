"""blocks: what can be bought; gold for a price in fen."""

from rooms.refusals import NoSuchBlock
from storage.shelf import Shelf


class Blocks(Shelf):
    name, missing = "blocks", NoSuchBlock
    order = (("fen", 1), ("_id", 1))
