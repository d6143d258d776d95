"""gifts: what can be given; gold is the price of one."""

from rooms.refusals import NoSuchGift
from storage.shelf import Shelf


class Gifts(Shelf):
    name, missing = "gifts", NoSuchGift
