"""Rules of giving: caps of a gift, a day and a month, confirmations, and a cool-off.

Days and months are those of China. What a gift costs counts, whether it is paid in gold or income,
and still counts after a reversal of the gift.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from core.clock import day_of
from core.errors import QLiveError
from ledger.errors import ConfirmationNeeded, CoolingOff, OverDayCap, OverGiftCap, OverMonthCap

RAISED_AFTER = timedelta(hours=24)
"""How long a user's raise of an own cap waits."""


@dataclass(frozen=True, slots=True)
class GivingRules:
    """Rules of the house, see `giving` of the settings; 0 switches a rule off."""

    gift_gold: int = 0
    day_gold: int = 0
    month_gold: int = 0
    remind_share: float = 0.5
    cool_off_gold: int = 0
    cool_off_within_minutes: float = 10
    cool_off_minutes: float = 10


NO_RULES = GivingRules()


class OwnCap(NamedTuple):
    """A user's own cap, 0 for none; `next` replaces it at `next_at`."""

    gold: int = 0
    next: int = 0
    next_at: datetime | None = None

    def at(self, now: datetime) -> "OwnCap":
        return OwnCap(self.next) if self.next_at and self.next_at <= now else self

    def changed(self, gold: int, now: datetime) -> "OwnCap":
        """Lowered at once, raised later; a raise that waits is replaced."""
        cap = self.at(now)
        if cap.next_at and cap.next == gold:
            return cap
        is_raise = cap.gold and (gold > cap.gold or not gold)
        return OwnCap(cap.gold, gold, now + RAISED_AFTER) if is_raise else OwnCap(gold)


class Allowed(NamedTuple):
    """A gift that may be given; `giver` is as after it."""

    giver: "Giver"
    reminder: bool
    """With this gift the sum has reached the share of a cap at which the user is reminded."""


class Giver(NamedTuple):
    """What the rules remember of a user; a document of `users.given`, written whole.

    `version` grows with each write, so that a decision is written only on what it was made on.
    """

    version: int = 0
    day: str = ""
    """The latest day on which the user gave, YYYY-MM-DD."""
    day_gold: int = 0
    month_gold: int = 0
    window_gold: int = 0
    """Gold given since the window opened that ends at `window_until`. If it is as much as the
    cool-off allows, the user may not give until then."""
    window_until: datetime | None = None
    own_day: OwnCap = OwnCap()
    own_month: OwnCap = OwnCap()

    def at(self, now: datetime) -> Self:
        """With the sums and own caps of this moment. A slower clock begins no day again."""
        day = max(self.day, day_of(now).isoformat())
        return self._replace(
            day=day,
            day_gold=self.day_gold if day == self.day else 0,
            month_gold=self.month_gold if day[:7] == self.day[:7] else 0,
            own_day=self.own_day.at(now),
            own_month=self.own_month.at(now),
        )

    def give(
        self, rules: GivingRules, gold: int, now: datetime, *, confirmed: bool
    ) -> Allowed | QLiveError:
        """Decide on a gift that costs `gold`; exactly a cap may be reached."""
        giver = self.at(now)
        if 0 < rules.gift_gold < gold:
            return OverGiftCap()
        if giver.cooling_until(rules, now):
            return CoolingOff()
        needs_confirmation = reminder = False
        for given, cap, refusal in giver.caps(rules):
            if given + gold > cap:
                return refusal()
            reminded_at = cap * rules.remind_share
            needs_confirmation |= given >= reminded_at
            reminder |= given < reminded_at <= given + gold
        if needs_confirmation and not confirmed:
            return ConfirmationNeeded()
        return Allowed(giver.after(rules, gold, now), reminder)

    def with_own_caps(self, day: int | None, month: int | None, now: datetime) -> Self:
        """With other caps of one's own; None leaves one as it is."""
        return self._replace(
            own_day=self.own_day if day is None else self.own_day.changed(day, now),
            own_month=self.own_month if month is None else self.own_month.changed(month, now),
        )

    def cooling_until(self, rules: GivingRules, now: datetime) -> datetime | None:
        """When a cool-off ends, None without one."""
        has_cool_off = 0 < rules.cool_off_gold <= self.window_gold
        return self.window_until if has_cool_off and self._has_window(now) else None

    def _has_window(self, now: datetime) -> bool:
        return self.window_until is not None and now < self.window_until

    def caps(self, rules: GivingRules) -> Iterator[tuple[int, int, type[QLiveError]]]:
        """What was given, the lower of both caps, and the refusal, for each cap that there is."""
        for given, caps, refusal in (
            (self.day_gold, (rules.day_gold, self.own_day.gold), OverDayCap),
            (self.month_gold, (rules.month_gold, self.own_month.gold), OverMonthCap),
        ):
            if any(caps):
                yield given, min(filter(None, caps)), refusal

    def after(self, rules: GivingRules, gold: int, now: datetime) -> Self:
        """After a gift, given with the sums of this moment."""
        window_gold, window_until = gold, now + timedelta(minutes=rules.cool_off_within_minutes)
        if self.window_until and self._has_window(now):
            window_gold, window_until = self.window_gold + gold, self.window_until
        if 0 < rules.cool_off_gold <= window_gold:
            window_until = now + timedelta(minutes=rules.cool_off_minutes)
        return self._replace(
            day_gold=self.day_gold + gold,
            month_gold=self.month_gold + gold,
            window_gold=window_gold,
            window_until=window_until,
        )


NEW_GIVER = Giver()
