"""The signed addresses at which a stream is pushed to and played from Tencent's live service."""

import hashlib
import secrets
from dataclasses import dataclass, field

APP = "live"  # the AppName of a domain unless somebody changed it in Tencent's console


@dataclass(frozen=True, slots=True)
class LiveUrls:
    """Addresses of one push and one play domain; an empty key means unsigned addresses.

    Source: Tencent CSS, txSecret = md5(key + stream + txTime) where txTime is the very hex text
    of the URL (Tencent's samples: upper case to push, lower case to play).
    """

    push_domain: str
    play_domain: str
    push_key: str = field(repr=False)
    play_key: str = field(repr=False)
    seconds: int

    def new_stream(self, user_id: str) -> str:
        """A name for one sitting of `user_id`: nobody can guess it from an earlier one."""
        return f"{user_id}_{secrets.token_hex(12)}"

    def push(self, stream: str, now: int) -> str:
        """rtmp, from `now` (unix seconds) for `seconds`; a push under way outlives that."""
        return _url(self.push_domain, self.push_key, stream, f"{now + self.seconds:X}")

    def play(self, stream: str, now: int) -> str:
        """rtmp; here txTime is `now`, to which the console's validity is added by Tencent."""
        return _url(self.play_domain, self.play_key, stream, f"{now:x}")


def _url(domain: str, key: str, stream: str, tx_time: str) -> str:
    url = f"rtmp://{domain}/{APP}/{stream}"
    if not key:
        return url
    # md5 is Tencent's choice and covers a secret prefix, nothing of ours depends on it.
    secret = hashlib.md5(f"{key}{stream}{tx_time}".encode(), usedforsecurity=False).hexdigest()
    return f"{url}?txSecret={secret}&txTime={tx_time}"
