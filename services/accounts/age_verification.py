"""Verification that users are adults, which recharge and gifts may require."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

from config.sections import AgeVerificationSettings
from core.clock import day_of
from core.errors import InvalidParameter
from services.errors import AgeUnverified
from storage.accounts.users import ADULT_YEARS, User, UserStore
from tencent.cloud_api import FaceIdClient

ID_NUMBER = re.compile("[1-9][0-9]{5}([0-9]{4})([0-9]{2})([0-9]{2})[0-9]{3}[0-9X]")
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_DIGITS = "10X98765432"


@dataclass
class AgeVerificationService:
    """Verifies the age of users; their names and ID numbers are neither stored nor logged."""

    _users: UserStore
    _client: FaceIdClient
    _settings: AgeVerificationSettings

    def check(self, user: User) -> None:
        """Check the user's age. Raises AgeUnverified if they may neither recharge nor give."""
        if self._lacks(user):
            raise AgeUnverified

    def _lacks(self, user: User) -> bool:
        is_verified = user.age_verified_at and not user.age_refused
        return self._settings.provider not in ("", "none") and not is_verified

    async def verify(self, user: User, name: str, id_number: str) -> None:
        """Verify that the user is an adult who has this name and number.

        Does nothing if that is known already, or is not required. Raises InvalidParameter,
        AgeUnverified or ServiceUnavailable.
        """
        if not self._lacks(user):
            return
        if self._settings.provider != "faceid" or user.age_refused:
            raise AgeUnverified("Ask the customer service to verify your age.")
        now = datetime.now(UTC)
        birthday = birthday_of(id_number.upper())
        if birthday is None:
            raise InvalidParameter({"id_number": "is not the number of an ID card"})
        if not is_adult(birthday, day_of(now)):
            raise AgeUnverified("You are not 18 years old yet.")
        if not await self._client.is_match(name, id_number.upper()):
            raise AgeUnverified("The name and the ID number do not belong together.")
        await self._users.update(user.user_id, age_verified_at=now)


def birthday_of(id_number: str) -> date | None:
    """Return the birthday in an ID number of 18 characters.

    None if it or the check digit is wrong. Source: GB 11643-1999, check digit by ISO 7064 MOD 11-2.
    """
    match = ID_NUMBER.fullmatch(id_number)
    if match is None:
        return None
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, id_number, strict=False))
    with suppress(ValueError):
        birthday = date(*map(int, match.groups()))
        return birthday if CHECK_DIGITS[total % 11] == id_number[-1] else None
    return None


def is_adult(birthday: date, today: date) -> bool:
    """Return whether the 18th birthday has come; one of 29 February is on 1 March."""
    is_before = (today.month, today.day) < (birthday.month, birthday.day)
    return today.year - birthday.year - is_before >= ADULT_YEARS
