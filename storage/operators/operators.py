"""operators: one document per operator, keyed by name.

operator_sessions: their logins, keyed by the hash of their token.
"""

import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from storage.database import Collection, Database, Document, Session
from storage.documents import known_fields, token_id
from storage.errors import NoLongerAdmin, OperatorExists, OperatorNotFound
from storage.field_cipher import FieldCipher

DEMO = "demo"
"""The operator of development, who logs in without a password."""
MAX_WRONG_CODES = 10
"""Codes that may be tried with the right password; all of them together hit once in 33,000."""
NOT_LOCKED: Document = {"wrong_codes": {"$not": {"$gte": MAX_WRONG_CODES}}}
SESSION_TOKEN = re.compile("[0-9a-f]{64}")
IDLE = timedelta(minutes=30)
"""A session ends so long after the last key or pointer input: an open console ends by itself."""
LIFETIME = timedelta(hours=12)
"""A session ends so long after its login in any case: a working day."""
RENEW_AFTER = timedelta(minutes=1)
"""Minimum interval between two stored uses of a session."""


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """An operator with what proves who they are.

    Until the first login, `password_hash` is that of a one-time password, which is valid until
    `one_time_until`. `credential` is random and changes with every new password and second factor,
    and when an admin ends the sessions; sessions of an old one end. `wrong_codes` counts the wrong
    codes after a right password since the last login. `totp_secret` is None if
    `auth.encryption_key` has changed; the operator then needs a reset.
    """

    name: str
    role: str
    password_hash: str = field(repr=False)
    totp_secret: str | None = field(repr=False)
    credential: str = field(repr=False)
    one_time_until: datetime | None
    disabled: bool = False
    made_at: datetime | None = None
    last_login_at: datetime | None = None
    wrong_codes: int = 0

    @property
    def is_locked(self) -> bool:
        """Whether too many wrong codes were tried; a reset permits logins again."""
        return self.wrong_codes >= MAX_WRONG_CODES

    @property
    def is_waiting(self) -> bool:
        return self.one_time_until is not None

    @property
    def state(self) -> str:
        if self.disabled:
            return "disabled"
        if self.is_locked:
            return "locked"
        return "waiting" if self.is_waiting else "active"

    @property
    def summary(self) -> Document:
        """Role and state, for the audit log."""
        return {"role": self.role, "state": self.state}


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """`credential` is that of the password with which the operator has logged in."""

    name: str
    credential: str
    expires_at: datetime


class OperatorStore:
    """Operators of the console; the demo operator counts as disabled unless it is admitted."""

    def __init__(
        self, database: Database, cipher: FieldCipher, *, admits_demo: bool = False
    ) -> None:
        self._database = database
        self._operators: Collection = database.collection("operators")
        self._cipher = cipher
        self._admits_demo = admits_demo

    async def add(self, account: OperatorAccount) -> None:
        """Add an operator. Raises OperatorExists if the name is taken."""
        row: Document = {"_id": account.name, "role": account.role, "disabled": False}
        row |= {"made_at": datetime.now(UTC), **self._proofs(account)}
        try:
            await self._operators.insert_one(row)
        except DuplicateKeyError:
            raise OperatorExists from None

    async def find(self, name: str) -> OperatorAccount | None:
        row = await self._operators.find_one({"_id": name})
        return self._account_from(row) if row else None

    async def get(self, name: str) -> OperatorAccount:
        if account := await self.find(name):
            return account
        raise OperatorNotFound

    async def all(self) -> list[OperatorAccount]:
        rows = await self._operators.find().sort("_id").to_list()
        return [self._account_from(row) for row in rows]

    async def update(self, name: str, by: str = "", **fields: Any) -> None:
        """Set `role`, `disabled` or `credential`.

        The transaction writes to both documents: of two admins who disable each other, one is
        refused. Raises OperatorNotFound, or NoLongerAdmin if the operator `by` is given and is no
        active admin.
        """
        admin: Document = {"_id": by, "role": "admin", "disabled": False, "one_time_until": None}

        async def write(session: Session) -> None:
            if by:
                mark, where = {"$inc": {"bookings": 1}}, {**admin, **NOT_LOCKED}
                held = await self._operators.update_one(where, mark, session=session)
                if not held.matched_count:
                    raise NoLongerAdmin
            change = {"$set": fields}
            result = await self._operators.update_one({"_id": name}, change, session=session)
            if not result.matched_count:
                raise OperatorNotFound

        await self._database.transaction_with_retry(write)

    async def reset(self, account: OperatorAccount, by: str = "") -> None:
        """Store the password, second factor and credential of `account`. Raises as `update`."""
        await self.update(account.name, by, **self._proofs(account))

    async def mark_booking(self, name: str, session: Session) -> None:
        """Write to the operator's document, so that their bookings conflict and follow each other.

        Begin the transaction with it: what it reads afterwards has all earlier bookings.
        """
        change = {"$inc": {"bookings": 1}}
        await self._operators.update_one({"_id": name}, change, session=session)

    async def replace_proofs(self, account: OperatorAccount, credential: str) -> bool:
        """Store as `reset`, but only over this `credential`; return whether it was stored."""
        where = {"_id": account.name, "credential": credential}
        result = await self._operators.update_one(where, {"$set": self._proofs(account)})
        return result.matched_count > 0

    async def count_code(self, account: OperatorAccount) -> bool:
        """Count a code as wrong before it is checked; False if too many were wrong already."""
        where = {"_id": account.name, **NOT_LOCKED}
        result = await self._operators.update_one(where, {"$inc": {"wrong_codes": 1}})
        return result.matched_count > 0

    async def use_code(self, account: OperatorAccount, step: int) -> bool:
        """Record the login with the code of this time step.

        Returns False if the step is not newer than the last, the password has changed meanwhile, or
        the operator was disabled. The codes before it count as wrong no longer.
        """
        where = {
            "_id": account.name,
            "credential": account.credential,
            "disabled": False,
            "totp_step": {"$lt": step},
        }
        used = {"totp_step": step, "wrong_codes": 0, "last_login_at": datetime.now(UTC)}
        result = await self._operators.update_one(where, {"$set": used})
        return result.matched_count > 0

    def _account_from(self, row: Document) -> OperatorAccount:
        account = OperatorAccount(**{**known_fields(OperatorAccount, row), "name": row["_id"]})
        return replace(
            account,
            totp_secret=self._cipher.decrypt(row["totp_secret"], account.name),
            disabled=account.disabled or (account.name == DEMO and not self._admits_demo),
        )

    def _proofs(self, account: OperatorAccount) -> Document:
        return {
            "password_hash": account.password_hash,
            "totp_secret": self._cipher.encrypt(account.totp_secret or "", account.name),
            "totp_step": 0,
            "wrong_codes": 0,
            "last_login_at": None,
            "credential": account.credential,
            "one_time_until": account.one_time_until,
        }


class OperatorSessionStore:
    """Sessions, which end IDLE after their last use, at latest LIFETIME after the login."""

    def __init__(self, database: Database) -> None:
        self._sessions: Collection = database.collection("operator_sessions")

    async def make_indexes(self) -> None:
        await self._sessions.create_index("expires_at", expireAfterSeconds=0)

    async def issue(self, name: str, credential: str) -> tuple[str, OperatorSession]:
        """Return a new token of 64 hex digits, and its session."""
        token, now = secrets.token_hex(32), datetime.now(UTC)
        row: Document = {"name": name, "credential": credential, "made_at": now}
        row |= {"used_at": now, "expires_at": now + IDLE}
        await self._sessions.insert_one({"_id": token_id(token), **row})
        return token, OperatorSession(name, credential, row["expires_at"])

    async def find(self, token: str, *, in_use: bool) -> OperatorSession | None:
        """Return the session, or None if it is unknown, ended or expired.

        `in_use`: a person is at the keyboard, which defers the expiry.
        """
        id_, now = token_id(token), datetime.now(UTC)
        row = await self._sessions.find_one({"_id": id_})
        if row is None or row["expires_at"] <= now:
            return None
        if in_use and row["used_at"] <= now - RENEW_AFTER:
            used = {"used_at": now, "expires_at": min(now + IDLE, row["made_at"] + LIFETIME)}
            await self._sessions.update_one({"_id": id_}, {"$set": used})
        return OperatorSession(row["name"], row["credential"], row["expires_at"])

    async def end(self, token: str) -> None:
        await self._sessions.delete_one({"_id": token_id(token)})
