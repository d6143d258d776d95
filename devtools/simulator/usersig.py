"""Simulated UserSig verification, implemented independently of the signing side."""

import base64
import hashlib
import hmac
import json
import zlib
from typing import Any

EMPTY, MALFORMED, INVALID_SIGNATURE, EXPIRED = 70002, 70003, 70009, 70001
OTHER_USER, OTHER_APP = 70013, 70014

MAX_BYTES = 4096  # bytes of JSON; real ones are smaller, and this stops zip bombs


def usersig_error(usersig: str, key: str, identifier: str, sdk_app_id: int, now: float) -> int:
    """IM's error number, or 0 if `usersig` authenticates `identifier` at `now` (Unix seconds)."""
    if not usersig:
        return EMPTY
    ticket = _read(usersig)
    if ticket is None:
        return MALFORMED
    if not _is_signed(ticket, key):
        return INVALID_SIGNATURE
    if ticket["TLS.time"] + ticket["TLS.expire"] < now:
        return EXPIRED
    if ticket["TLS.identifier"] != identifier:
        return OTHER_USER
    return 0 if ticket["TLS.sdkappid"] == sdk_app_id else OTHER_APP


def signed_at(usersig: str) -> int:
    """When a UserSig was signed, in Unix seconds; 0 if it is malformed."""
    ticket = _read(usersig)
    return int(ticket["TLS.time"]) if ticket else 0


def _read(usersig: str) -> dict[str, Any] | None:
    text = usersig.translate(str.maketrans("*-_", "+/="))
    try:
        packed = base64.b64decode(text, validate=True)
        ticket = json.loads(zlib.decompressobj().decompress(packed, MAX_BYTES))
        texts = [ticket["TLS.identifier"], ticket["TLS.sig"]]
        numbers = [ticket["TLS.sdkappid"], ticket["TLS.time"], ticket["TLS.expire"]]
    except (ValueError, KeyError, TypeError, zlib.error):
        return None
    valid = all(type(value) is str for value in texts) and all(type(n) is int for n in numbers)
    return dict(ticket) if valid else None


def _is_signed(ticket: dict[str, Any], key: str) -> bool:
    names = ["identifier", "sdkappid", "time", "expire"]
    if "TLS.userbuf" in ticket:
        names.append("userbuf")
    signed = "".join(f"TLS.{name}:{ticket[f'TLS.{name}']}\n" for name in names)
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return hmac.compare_digest(base64.b64encode(digest), ticket["TLS.sig"].encode())
