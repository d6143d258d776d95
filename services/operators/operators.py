"""Accounts, one-time codes (RFC 6238) and logins of operators."""

import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pyotp
import segno

from core.errors import InvalidParameter
from rooms.moderation import CHECK
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked, OwnAccount
from services.operators.passwords import Passwords
from services.operators.roles import Operator, Role
from storage.operators.operators import (
    DEMO,
    OperatorAccount,
    OperatorSessionStore,
    OperatorStore,
)

ONE_TIME_HOURS = 24
"""How long a one-time password can be used."""
ONE_TIME_BYTES = 12
WRONG_CODE = {"code": "this is not the current code"}
WRONG_NEW_CODE = {"new_code": WRONG_CODE["code"]}
WRONG_PASSWORD = {"password": "this is not your password"}
SAME_PASSWORD = {"new_password": "this is your current password"}
STEP_SECONDS = 30
TOLERATED_STEPS = (-1, 0, 1)
"""A phone's clock may be half a minute off, and typing takes time."""
ISSUER = "QLive"
RESERVED = ("ops.token", DEMO, CHECK, "user", "wechat", "refund_case", "jsapi", "xpay")
"""The machine, the demo operator, and other names in the queue, the journal and withdrawals."""


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
        password = secrets.token_urlsafe(ONE_TIME_BYTES)
        await self._operators.add(await self._waiting(name, role, password))
        return password

    async def reset(self, name: str, by: str = "") -> str:
        """Forget password and second factor, and end the sessions.

        Return a new one-time password. `by`: the admin who asks for it; "" is the command line,
        which may do everything. Raises OperatorNotFound, OwnAccount or NoLongerAdmin.
        """
        if name == by:
            raise OwnAccount
        account = await self._operators.get(name)
        password = secrets.token_urlsafe(ONE_TIME_BYTES)
        await self._operators.reset(await self._waiting(name, account.role, password), by)
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
        account = await self._own_account(name, password)
        changed, new_step = account, None
        if new_password:
            if new_password == password:
                raise InvalidParameter(SAME_PASSWORD)
            chosen = await self._passwords.hash_chosen(name, new_password)
            changed = replace(changed, password_hash=chosen)
        if secret:
            new_step = step_of(secret, new_code or "", time.time())
            if not new_step:
                raise InvalidParameter(WRONG_NEW_CODE)
            changed = replace(changed, totp_secret=secret)
        step = await self._used_step(account, code)
        if not step:
            raise InvalidParameter(WRONG_CODE)
        return await self._begin_with(changed, new_step or step)

    async def operator_of(self, token: str, *, in_use: bool) -> Operator | None:
        """Return the operator of a session.

        None if it has ended, or the operator may not log in.
        """
        session = await self._sessions.find(token, in_use=in_use)
        account = await self._operators.find(session.name) if session else None
        if session is None or account is None or account.disabled:
            return None
        return _operator(account) if account.credential == session.credential else None

    async def log_out(self, token: str) -> None:
        await self._sessions.end(token)

    async def _authenticated(self, name: str, password: str) -> OperatorAccount:
        """Return the account, if the password is right and may be used.

        Raises LoginRefused if not.
        """
        account = await self._operators.find(name)
        stored = account.password_hash if account else None
        matches = await self._passwords.matches(stored, password)
        if account is None or not matches or account.disabled:
            raise LoginRefused
        if account.one_time_until and account.one_time_until <= datetime.now(UTC):
            raise LoginRefused
        return account

    async def _own_account(self, name: str, password: str) -> OperatorAccount:
        try:
            return await self._authenticated(name, password)
        except LoginRefused:
            raise InvalidParameter(WRONG_PASSWORD) from None

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


def second_factor(name: str) -> SecondFactor:
    """Return a new secret for an authenticator app."""
    secret = pyotp.random_base32()
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    # Black on white in both colour schemes: cameras do not read the inverse.
    qr = segno.make(uri, error="m").svg_data_uri(scale=4, light="#fff")
    return SecondFactor(secret, uri, qr)


def step_of(secret: str | None, code: str, now: float) -> int | None:
    """Return the time step that has this code, else None.

    The step is one of those tolerated at `now` (unix seconds).
    """
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
