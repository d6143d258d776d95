"""Login codes: single-use, valid for five minutes and for one app."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

CODE_SECONDS = 300


@dataclass(slots=True)
class LoginCode:
    """One login code; jscode2session fails with `errcode` unless it is 0."""

    text: str
    app_id: str
    openid: str
    session_key: str
    errcode: int
    until: float
    used: bool = False


def openid_of(name: str) -> str:
    """The openid of the user `name`, the same on every run and for every app."""
    digest = hashlib.sha256(f"qlive simulator:{name}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


class LoginCodes:
    """Codes issued to phones and not yet expired, and each user's latest session key."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: dict[str, LoginCode] = {}
        self._keys: dict[str, str] = {}

    def issue(self, app_id: str, name: str, errcode: int) -> LoginCode:
        """Issue a code for `name` with a new session key."""
        self._drop_expired()
        code = LoginCode(
            text="0" + secrets.token_urlsafe(24)[:31],
            app_id=app_id,
            openid=openid_of(name),
            session_key=base64.b64encode(secrets.token_bytes(16)).decode(),
            errcode=errcode,
            until=self._now() + CODE_SECONDS,
        )
        self._codes[code.text] = code
        self._keys[code.openid] = code.session_key
        return code

    def signer(self, text: str, signature: str) -> str | None:
        """The openid whose latest session key signed `text`, or None.

        `signature` is a hex HMAC-SHA256; earlier session keys of a user are invalid.
        """
        for openid, key in self._keys.items():
            expected = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
            if hmac.compare_digest(expected.encode(), signature.encode()):
                return openid
        return None

    def find(self, text: str, app_id: str) -> LoginCode | None:
        """The code, used or not; None if unknown, expired or issued for another app."""
        self._drop_expired()
        code = self._codes.get(text)
        return code if code is not None and code.app_id == app_id else None

    def _drop_expired(self) -> None:
        now = self._now()
        for text in [text for text, code in self._codes.items() if code.until <= now]:
            del self._codes[text]
