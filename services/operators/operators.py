"""Accounts, passwords, one-time codes (RFC 6238) and logins of operators."""

import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config.settings import is_easy_to_guess
from core.errors import InvalidParameter
from core.limits import ConcurrencyLimit
from rooms.moderation import CHECK
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked, OwnAccount
from services.operators.roles import Operator, Role
from storage.operators.operators import (
    DEMO,
    OperatorAccount,
    OperatorSessionStore,
    OperatorStore,
)

ONE_TIME_HOURS = 24
"""How long a one-time password can be used."""
WRONG_CODE = {"code": "this is not the current code"}
SAME_PASSWORD = {"new_password": "this is your current password"}
STEP_SECONDS = 30
TOLERATED_STEPS = (-1, 0, 1)
"""A phone's clock may be half a minute off, and typing takes time."""
RESERVED = ("ops.token", DEMO, CHECK, "user", "wechat", "refund_case", "jsapi", "xpay")
"""The machine, the demo operator, and other names in the queue, the journal and withdrawals."""
CHECKED_CHARACTERS = 64
"""Characters at the beginning that are looked at closely."""
SHORT_NAME = 3
"""A name up to this length is part of many words; zxcvbn alone takes it into account."""
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
        """Add an operator and return the one-time password.

        Raises OperatorExists if the name is taken, or InvalidParameter for a reserved name.
        """
        if name in RESERVED:
            raise InvalidParameter({"name": "this name is reserved"})
        account, password = await self._waiting(name, role)
        await self._operators.add(account)
        return password

    async def reset(self, name: str, by: str = "") -> str:
        """Forget password and second factor, and end the sessions.

        Return a new one-time password. `by`: the admin who asks for it; "" is the command line,
        which may do everything. Raises OperatorNotFound, OwnAccount or NoLongerAdmin.
        """
        if name == by:
            raise OwnAccount
        role = (await self._operators.get(name)).role
        account, password = await self._waiting(name, role)
        await self._operators.reset(account, by)
        return password

    async def change(
        self, name: str, by: str = "", *, end_sessions: bool = False, **fields: Any
    ) -> None:
        """Set `role` or `disabled`, which ends the sessions as well.

        A role counts from the next request on. Sessions end with their credential, as do the logins
        that are in progress. Raises as `reset`.
        """
        if name == by:
            raise OwnAccount
        if end_sessions or "disabled" in fields:
            fields["credential"] = secrets.token_hex(16)
        await self._operators.update(name, by, **fields)

    async def log_in(self, name: str, password: str, code: str) -> Login:
        """Log an operator in.

        Raises LoginRefused, OperatorLocked after too many wrong codes, or FirstLoginRequired.
        """
        account = await self._authenticated(name, password)
        if account.is_waiting:
            raise FirstLoginRequired
        if not await self._used_step(account, code):
            raise LoginRefused
        return await self._begin(account)

    async def second_factor(self, name: str, password: str) -> SecondFactor:
        """Return a new secret for the authenticator app before the first login.

        It replaces an earlier one. Raises LoginRefused.
        """
        waiting = await self._authenticated(name, password)
        if not waiting.is_waiting:
            raise LoginRefused
        factor = second_factor(name)
        account = replace(waiting, totp_secret=factor.secret, credential=secrets.token_hex(16))
        if not await self._operators.replace_proofs(account, waiting.credential):
            raise LoginRefused
        return factor

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
        password_hash = await self._passwords.hash_chosen(name, new_password)
        account = replace(waiting, password_hash=password_hash, one_time_until=None)
        return await self._begin_with(account, step)

    async def change_own(
        self,
        name: str,
        password: str,
        code: str,
        *,
        new_password: str | None = None,
        secret: str | None = None,
        new_code: str | None = None,
    ) -> Login:
        """Set one's own password, or the app of `secret`, whose code is `new_code`, or both.

        Needs the present proofs. All sessions end, and another one begins. Raises InvalidParameter,
        OperatorLocked, or LoginRefused if another change came first.
        """
        try:
            account = await self._authenticated(name, password)
        except LoginRefused:
            raise InvalidParameter({"password": "this is not your password"}) from None
        changed, new_step = account, None
        if new_password:
            if new_password == password:
                raise InvalidParameter(SAME_PASSWORD)
            chosen = await self._passwords.hash_chosen(name, new_password)
            changed = replace(changed, password_hash=chosen)
        if secret:
            new_step = step_of(secret, new_code or "", time.time())
            if not new_step:
                raise InvalidParameter({"new_code": WRONG_CODE["code"]})
            changed = replace(changed, totp_secret=secret)
        step = await self._used_step(account, code)
        if not step:
            raise InvalidParameter(WRONG_CODE)
        return await self._begin_with(changed, new_step or step)

    async def operator_of(self, token: str, *, in_use: bool) -> Operator | None:
        """Return the operator of a session; None if it has ended, or they may not log in."""
        session = await self._sessions.find(token, in_use=in_use)
        account = await self._operators.find(session.name) if session else None
        if session is None or account is None or account.disabled:
            return None
        return _operator(account) if account.credential == session.credential else None

    async def _authenticated(self, name: str, password: str) -> OperatorAccount:
        """Return the account. Raises LoginRefused unless the password is right and usable."""
        account = await self._operators.find(name)
        stored = account.password_hash if account else None
        matches = await self._passwords.matches(stored, password)
        if account is None or not matches or account.disabled:
            raise LoginRefused
        if account.one_time_until and account.one_time_until <= datetime.now(UTC):
            raise LoginRefused
        return account

    async def _used_step(self, account: OperatorAccount, code: str) -> int | None:
        """Return the time step of the code, which works no more; None for a wrong or used one.

        Raises OperatorLocked after too many wrong codes.
        """
        if not await self._operators.count_code(account):
            raise OperatorLocked
        step = step_of(account.totp_secret, code, time.time())
        return step if step and await self._operators.use_code(account, step) else None

    async def _begin_with(self, account: OperatorAccount, step: int) -> Login:
        """Store the new proofs, use up the code of this step, and begin the only session.

        Raises LoginRefused if another change came first.
        """
        renewed = replace(account, credential=secrets.token_hex(16))
        stored = await self._operators.replace_proofs(renewed, account.credential)
        if not stored or not await self._operators.use_code(renewed, step):
            raise LoginRefused
        return await self._begin(renewed)

    async def _begin(self, account: OperatorAccount) -> Login:
        token, session = await self._sessions.issue(account.name, account.credential)
        return Login(token, _operator(account), session.expires_at)

    async def _waiting(self, name: str, role: str) -> tuple[OperatorAccount, str]:
        """Return an account before its first login, and its one-time password."""
        password = secrets.token_urlsafe(12)
        account = OperatorAccount(
            name=name,
            role=role,
            password_hash=await self._passwords.hash(password),
            totp_secret=pyotp.random_base32(),
            credential=secrets.token_hex(16),
            one_time_until=datetime.now(UTC) + timedelta(hours=ONE_TIME_HOURS),
        )
        return account, password


class Passwords:
    """Hashes and compares passwords in threads; TryAgain when too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._limit = ConcurrencyLimit(CONCURRENT_HASHES)

    async def hash(self, password: str) -> str:
        async with self._limit:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def hash_chosen(self, name: str, password: str) -> str:
        """Hash a new password. Raises InvalidParameter with the rule that it breaks."""
        async with self._limit:
            if problem := await asyncio.to_thread(weakness, name, password):
                raise InvalidParameter({"new_password": problem})
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Return whether `stored` is a hash of the password.

        Takes as long for None, which none has.
        """
        async with self._limit:
            try:
                await asyncio.to_thread(self._hasher.verify, stored or UNMATCHED_HASH, password)
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None


def weakness(name: str, password: str) -> str:
    """Return the rule that the password of this operator breaks; "" if it breaks none."""
    if len(name) > SHORT_NAME and name in password.casefold():
        return "this contains your name"
    if len(set(password.casefold())) <= 2:
        return "this repeats one or two characters"
    if is_easy_to_guess(password[:CHECKED_CHARACTERS], name):
        return "this is easy to guess: a sequence, a common password or a word"
    return ""


def _operator(account: OperatorAccount) -> Operator:
    return Operator(account.name, cast(Role, account.role))


def second_factor(name: str) -> SecondFactor:
    """Return a new secret for an authenticator app."""
    secret = pyotp.random_base32()
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="QLive")
    # Black on white in both colour schemes: cameras do not read the inverse.
    qr = segno.make(uri, error="m").svg_data_uri(scale=4, light="#fff")
    return SecondFactor(secret, uri, qr)


def step_of(secret: str | None, code: str, now: float) -> int | None:
    """Return the time step, of those tolerated at `now` (unix seconds), that has this code."""
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
