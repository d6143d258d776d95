"""Accounts, passwords, one-time codes (RFC 6238) and logins of operators."""

import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InvalidParameter
from core.limits import ConcurrencyLimit
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked
from services.operators.roles import Operator, Role
from storage.operators.operators import OperatorAccount, OperatorSessionStore, OperatorStore

ONE_TIME_HOURS = 24
"""How long a one-time password can be used."""
ONE_TIME_BYTES = 12
WRONG_CODE = {"code": "this is not the current code"}
SAME_PASSWORD = {"new_password": "this is the one-time password"}
STEP_SECONDS = 30
TOLERATED_STEPS = (-1, 0, 1)
"""A phone's clock may be half a minute off, and typing takes time."""
ISSUER = "QLive"
CONCURRENT_HASHES = 2
"""Hashes at a time; each takes 64 MiB and about 50 ms on up to four cores."""
UNMATCHED_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$zx729fwBCuyqSb0oABXpnQ"
    "$qbEhhPANWjRv7qKbyLvId29n2FDO8JCNAxG44+Vfa7A"
)
"""Hash that no password has: an unknown name takes as long as a wrong password."""


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has begun."""

    token: str = field(repr=False)
    operator: Operator
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Setup of an authenticator app: `uri` as text, `qr` a data URI of its QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr: str = field(repr=False)


class Passwords:
    """Hashes and compares passwords in threads; TryAgain when too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._limit = ConcurrencyLimit(CONCURRENT_HASHES)

    async def hash(self, password: str) -> str:
        async with self._limit.slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `stored` is a hash of the password; takes as long for None, which none has."""
        async with self._limit.slot():
            matches = await asyncio.to_thread(self._verify, stored or UNMATCHED_HASH, password)
        return matches and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


class OperatorService:
    """Adds operators, and lets them in by password and code.

    The first login, with a one-time password, sets both. A refusal gives no reason; only a client
    with the right password learns that the operator is locked.
    """

    def __init__(self, operators: OperatorStore, sessions: OperatorSessionStore) -> None:
        self._operators = operators
        self._sessions = sessions
        self._passwords = Passwords()

    async def add(self, name: str, role: Role) -> str:
        """Add an operator and return the one-time password. Raises OperatorExists."""
        password = secrets.token_urlsafe(ONE_TIME_BYTES)
        await self._operators.add(await self._waiting(name, role, password))
        return password

    async def reset(self, name: str) -> str:
        """Forget password and second factor, end the sessions; returns a new one-time password.

        Raises OperatorNotFound.
        """
        account = await self._operators.get(name)
        password = secrets.token_urlsafe(ONE_TIME_BYTES)
        await self._operators.replace_proofs(await self._waiting(name, account.role, password))
        await self._sessions.end_all(name)
        return password

    async def disable(self, name: str) -> None:
        """Raises OperatorNotFound."""
        await self._operators.update(name, disabled=True)
        await self._sessions.end_all(name)

    async def enable(self, name: str) -> None:
        """Permit logins again; a login that `disable` has overtaken begins no session.

        Raises OperatorNotFound.
        """
        await self._sessions.end_all(name)
        await self._operators.update(name, disabled=False)

    async def log_in(self, name: str, password: str, code: str) -> Login:
        """Raises LoginRefused, OperatorLocked after too many wrong codes, or FirstLoginRequired."""
        account = await self._authenticated(name, password)
        if account.is_waiting:
            raise FirstLoginRequired
        if not await self._operators.count_code(account):
            raise OperatorLocked
        step = step_of(account.totp_secret, code, time.time())
        if step is None or not await self._operators.use_code(account, step):
            raise LoginRefused
        return await self._begin(account)

    async def second_factor(self, name: str, password: str) -> SecondFactor:
        """A new secret for the authenticator app before the first login. Raises LoginRefused.

        It replaces an earlier one.
        """
        waiting = await self._authenticated(name, password)
        if not waiting.is_waiting:
            raise LoginRefused
        secret, credential = pyotp.random_base32(), secrets.token_hex(16)
        account = replace(waiting, totp_secret=secret, credential=credential)
        if not await self._operators.replace_proofs(account, waiting.credential):
            raise LoginRefused
        return second_factor(name, secret)

    async def first_log_in(self, name: str, password: str, new_password: str, code: str) -> Login:
        """Set the password, once the code shows that the second factor works.

        Raises LoginRefused, or InvalidParameter for a wrong code, and if the password is not new.
        """
        waiting = await self._authenticated(name, password)
        if not waiting.is_waiting:
            raise LoginRefused
        step = step_of(waiting.totp_secret, code, time.time())
        if step is None:
            raise InvalidParameter(WRONG_CODE)
        if new_password == password:
            raise InvalidParameter(SAME_PASSWORD)
        account = replace(
            waiting,
            password_hash=await self._passwords.hash(new_password),
            credential=secrets.token_hex(16),
            one_time_until=None,
        )
        stored = await self._operators.replace_proofs(account, waiting.credential)
        if not stored or not await self._operators.use_code(account, step):
            raise LoginRefused
        return await self._begin(account)

    async def operator_of(self, token: str, *, in_use: bool) -> Operator | None:
        """The operator of a session; None if it has ended, or the operator may not log in."""
        session = await self._sessions.find(token, in_use=in_use)
        account = await self._operators.find(session.name) if session else None
        if session is None or account is None or account.disabled:
            return None
        return _operator(account) if account.credential == session.credential else None

    async def log_out(self, token: str) -> None:
        await self._sessions.end(token)

    async def _authenticated(self, name: str, password: str) -> OperatorAccount:
        """The account, if the password is right and may be used; else LoginRefused."""
        account = await self._operators.find(name)
        stored = account.password_hash if account else None
        matches = await self._passwords.matches(stored, password)
        if account is None or not matches or account.disabled:
            raise LoginRefused
        if account.one_time_until and account.one_time_until <= datetime.now(UTC):
            raise LoginRefused
        return account

    async def _begin(self, account: OperatorAccount) -> Login:
        token, session = await self._sessions.issue(account.name, account.credential)
        return Login(token, _operator(account), session.expires_at)

    async def _waiting(self, name: str, role: str, password: str) -> OperatorAccount:
        return OperatorAccount(
            name=name,
            role=role,
            password_hash=await self._passwords.hash(password),
            totp_secret=pyotp.random_base32(),
            credential=secrets.token_hex(16),
            one_time_until=datetime.now(UTC) + timedelta(hours=ONE_TIME_HOURS),
        )


def _operator(account: OperatorAccount) -> Operator:
    return Operator(account.name, cast(Role, account.role))


def second_factor(name: str, secret: str) -> SecondFactor:
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    # Black on white in both colour schemes: cameras do not read the inverse.
    qr = segno.make(uri, error="m").svg_data_uri(scale=4, light="#fff")
    return SecondFactor(secret, uri, qr)


def step_of(secret: str | None, code: str, now: float) -> int | None:
    """The time step that has this code, of those tolerated at `now` (unix seconds), else None."""
    if not secret:
        return None
    current = int(now) // STEP_SECONDS
    matching = [
        current + offset
        for offset in TOLERATED_STEPS
        if hmac.compare_digest(code_of(secret, current + offset).encode(), code.encode())
    ]
    return max(matching, default=None)


def code_of(secret: str, step: int) -> str:
    return pyotp.TOTP(secret).generate_otp(step)
