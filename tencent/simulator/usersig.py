"""Tencent's side of a UserSig: verification, written apart from the signing side."""

import base64
import hashlib
import hmac
import json
import zlib
from typing import Any

EMPTY, GARBAGE, FORGED, EXPIRED = 70002, 70003, 70009, 70001
OTHER_USER, OTHER_APP = 70013, 70014

LARGEST = 4096  # bytes of JSON: more is nobody's signature


def usersig_error(usersig: str, key: str, identifier: str, sdk_app_id: int, now: float) -> int:
    """0 when `usersig` lets `identifier` speak at `now` (unix seconds), else IM's error number."""
    if not usersig:
        return EMPTY
    ticket = _read(usersig)
    if ticket is None:
        return GARBAGE
    if not _is_signed(ticket, key):
        return FORGED
    if ticket["TLS.time"] + ticket["TLS.expire"] < now:
        return EXPIRED
    if ticket["TLS.identifier"] != identifier:
        return OTHER_USER
    return 0 if ticket["TLS.sdkappid"] == sdk_app_id else OTHER_APP


def _read(usersig: str) -> dict[str, Any] | None:
    text = usersig.translate(str.maketrans("*-_", "+/="))
    try:
        packed = base64.b64decode(text, validate=True)
        ticket = json.loads(zlib.decompressobj().decompress(packed, LARGEST))
        texts = [ticket["TLS.identifier"], ticket["TLS.sig"]]
        numbers = [ticket["TLS.sdkappid"], ticket["TLS.time"], ticket["TLS.expire"]]
    except (ValueError, KeyError, TypeError, zlib.error):
        return None
    good = all(type(part) is str for part in texts) and all(type(n) is int for n in numbers)
    return dict(ticket) if good else None


def _is_signed(ticket: dict[str, Any], key: str) -> bool:
    names = ["identifier", "sdkappid", "time", "expire"]
    if "TLS.userbuf" in ticket:
        names.append("userbuf")
    signed = "".join(f"TLS.{name}:{ticket[f'TLS.{name}']}\n" for name in names)
    digest = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return hmac.compare_digest(base64.b64encode(digest), ticket["TLS.sig"].encode())
