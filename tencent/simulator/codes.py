"""The login codes that are out: each works once, for five minutes, for one app."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

CODE_SECONDS = 300


@dataclass(slots=True)
class Code:
    """`errcode` is what jscode2session will say instead of redeeming it, 0 for nothing."""

    text: str
    app_id: str
    openid: str
    session_key: str
    errcode: int
    until: float
    used: bool = False


def openid_of(name: str) -> str:
    """The openid of the person called `name`, the same on every run and for every app."""
    digest = hashlib.sha256(f"qlive simulator:{name}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


class Codes:
    """The codes handed to phones and not yet forgotten."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: dict[str, Code] = {}
        self._keys: dict[str, str] = {}

    def issue(self, app_id: str, name: str, errcode: int) -> Code:
        """A new code for `name`, with a session key of its own."""
        self._forget()
        code = Code(
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
        """Whose session key this is the signature of (hex HMAC-SHA256 over `text`), if anybody's;
        only the latest key of each person holds."""
        for openid, key in self._keys.items():
            right = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
            if hmac.compare_digest(right.encode(), signature.encode()):
                return openid
        return None

    def find(self, text: str, app_id: str) -> Code | None:
        """The code, used or not; None when unknown, too old or another app's."""
        self._forget()
        code = self._codes.get(text)
        return code if code is not None and code.app_id == app_id else None

    def _forget(self) -> None:
        now = self._now()
        for text in [text for text, code in self._codes.items() if code.until <= now]:
            del self._codes[text]
