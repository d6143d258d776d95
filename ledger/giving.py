"""Rules of giving: caps of a gift, a day and a month, confirmations, and a cool-off.

Days and months are those of China. What a gift costs counts, whether it is paid in gold or income,
and still counts after a reversal of the gift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from core.clock import day_of
from ledger.errors import ConfirmationNeeded, CoolingOff, OverDayCap, OverGiftCap, OverMonthCap

REFUSALS = (OverGiftCap, OverDayCap, OverMonthCap, CoolingOff, ConfirmationNeeded)
REMIND_SHARE = 0.5
"""The gift that reaches this share of a day's or month's cap reminds; later ones need confirmation.
The rules on tipping name half."""
COOL_OFF_WINDOW = timedelta(minutes=10)
"""Gifts within it add up to the cool-off. The rules name no figure: it spans a rush of a live."""
COOL_OFF = timedelta(minutes=10)
"""Time without gifts afterwards, after which a user has seen what was spent."""
RAISED_AFTER = timedelta(hours=24)
"""Delay of a raise of an own cap."""
PARTS = 10
"""Share of the window of the cool-off within which gifts may be added up to one, which leaves it
with the last of them. It bounds the stored gifts, to about two a part."""


@dataclass(frozen=True, slots=True)
class GivingRules:
    """Rules of the house, see `giving` of the settings; 0 switches a rule off."""

    gift_gold: int = 0
    day_gold: int = 0
    month_gold: int = 0
    cool_off_gold: int = 0


NO_RULES = GivingRules()


class OwnCap(NamedTuple):
    """A user's own cap, 0 for none; `next` replaces it at `next_at`."""

    gold: int = 0
    next: int = 0
    next_at: datetime | None = None

    def at(self, now: datetime) -> "OwnCap":
        return OwnCap(self.next) if self.next_at and self.next_at <= now else self

    def with_house(self, cap: int) -> int:
        """Return the lower of this cap and that of the house; 0 for none."""
        return min(cap or self.gold, self.gold or cap)

    def changed(self, gold: int | None, now: datetime) -> "OwnCap":
        """Return the cap after a change: it is lowered at once and raised later.

        A raise that waits is replaced. None changes nothing.
        """
        cap = self.at(now)
        if gold is None or (cap.next_at and cap.next == gold):
            return cap
        is_raise = cap.gold and (gold > cap.gold or not gold)
        return OwnCap(cap.gold, gold, now + RAISED_AFTER) if is_raise else OwnCap(gold)


class Giver(NamedTuple):
    """A user as the rules see them: the document `users.giver`, written whole.

    `version` grows with each write, so that a decision is written only over the document that it
    has read; 0 if none is stored.
    """

    version: int = 0
    day: str = ""
    """The latest day on which the user gave, YYYY-MM-DD."""
    day_gold: int = 0
    month_gold: int = 0
    recent: Sequence[tuple[datetime, int]] = ()
    """Times and gold of the gifts in the window that ends now, since the last cool-off."""
    cooling_until: datetime = datetime.fromtimestamp(0, UTC)
    own_gift: OwnCap = OwnCap()
    own_day: OwnCap = OwnCap()
    own_month: OwnCap = OwnCap()

    def at(self, now: datetime) -> Self:
        """Return the giver at `now`; a clock that is behind does not begin a day again."""
        day = max(self.day, day_of(now).isoformat())
        return self._replace(
            day=day,
            day_gold=self.day_gold if day == self.day else 0,
            month_gold=self.month_gold if day[:7] == self.day[:7] else 0,
            own_gift=self.own_gift.at(now),
            own_day=self.own_day.at(now),
            own_month=self.own_month.at(now),
        )

    def spend(
        self, rules: GivingRules, gold: int, now: datetime, *, confirmed: bool
    ) -> tuple[Self, bool]:
        """Decide on a gift that costs `gold`; exactly a cap may be reached.

        Return the giver after it, and whether the gift has reached the share of a cap from which
        gifts need confirmation, of which the user is reminded. Raises one of REFUSALS.
        """
        giver = self.at(now)
        if 0 < giver.own_gift.with_house(rules.gift_gold) < gold:
            raise OverGiftCap
        if rules.cool_off_gold and now < giver.cooling_until:
            raise CoolingOff
        needs_confirmation = reminder = False
        for given, cap, refusal in (
            (giver.day_gold, giver.own_day.with_house(rules.day_gold), OverDayCap),
            (giver.month_gold, giver.own_month.with_house(rules.month_gold), OverMonthCap),
        ):
            if cap and given + gold > cap:
                raise refusal
            reminded_at = cap * REMIND_SHARE
            needs_confirmation |= 0 < reminded_at <= given
            reminder |= given < reminded_at <= given + gold
        if needs_confirmation and not confirmed:
            raise ConfirmationNeeded
        return giver.after(rules, gold, now), reminder

    def after(self, rules: GivingRules, gold: int, now: datetime) -> Self:
        """Return the giver after a gift; the sums have to be those `at` the same time."""
        window = COOL_OFF_WINDOW
        recent = [gift for gift in self.recent if now - gift[0] < window]
        is_part = len(recent) > 1 and now - recent[-2][0] < window / PARTS
        before = recent.pop()[1] if is_part else 0
        recent.append((now, before + gold))
        cooling_until = self.cooling_until
        if 0 < rules.cool_off_gold <= sum(given for _, given in recent):
            recent, cooling_until = [], now + COOL_OFF
        return self._replace(
            day_gold=self.day_gold + gold,
            month_gold=self.month_gold + gold,
            recent=recent,
            cooling_until=cooling_until,
        )

    def with_own_caps(
        self,
        now: datetime,
        *,
        gift: int | None = None,
        day: int | None = None,
        month: int | None = None,
    ) -> Self:
        """Return the giver with other own caps; None leaves a cap as it is."""
        return self._replace(
            own_gift=self.own_gift.changed(gift, now),
            own_day=self.own_day.changed(day, now),
            own_month=self.own_month.changed(month, now),
        )


NEW_GIVER = Giver()
OWN_CAPS = ("own_gift", "own_day", "own_month")
