"""Signed push and play URLs for Tencent's live streaming service (CSS)."""

import hashlib
import secrets
from dataclasses import dataclass, field

DEFAULT_APP_NAME = "live"  # default AppName of a CSS domain; configurable in Tencent's console


@dataclass(frozen=True, slots=True)
class StreamUrls:
    """RTMP URLs for one push and one play domain; an empty key means unsigned URLs.

    Source: Tencent CSS, txSecret = md5(key + stream + txTime) where txTime is the same hex text as
    in the URL (Tencent's samples use upper case for push, lower case for play).
    """

    push_domain: str
    play_domain: str
    push_key: str = field(repr=False)
    play_key: str = field(repr=False)
    seconds: int

    def new_stream(self, user_id: str) -> str:
        """Unguessable stream name (96 random bits) for one seat occupancy by `user_id`."""
        return f"{user_id}_{secrets.token_hex(12)}"

    def push(self, stream: str, now: int) -> str:
        """Push URL valid from `now` (Unix seconds) for `seconds`; a running push is not cut off."""
        return _url(self.push_domain, self.push_key, stream, f"{now + self.seconds:X}")

    def play(self, stream: str, now: int) -> str:
        """Play URL; txTime is `now`, to which Tencent adds the validity set in its console."""
        return _url(self.play_domain, self.play_key, stream, f"{now:x}")


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{DEFAULT_APP_NAME}/{stream}"
    if not key:
        return url
    # Tencent prescribes MD5 over a secret prefix; nothing else depends on its strength.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
