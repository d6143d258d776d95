"""Refuses secrets that are too short or too easy to guess."""

import math
from collections import Counter
from itertools import pairwise
from typing import NamedTuple


class Strength(NamedTuple):
    """Minimum length of a secret in characters, and minimum of its estimated entropy in bits."""

    length: int
    bits: float


OWN = Strength(24, 40)
"""Secrets that only we choose. One answer signed with a weak `content_key` is enough to guess it,
without a limit on attempts. `openssl rand -hex 16` has 32 characters, and at least 50 bits here."""
SHARED = Strength(16, 20)
"""Secrets that WeChat or Tencent issue, or whose format they limit (a push token: 3 to 32)."""
OWN_SECRETS = {"ops.token", "auth.encryption_key", "pay.content_key"}
SHARED_SECRETS = {
    *("im.secret_key", "im.callback_token"),
    *(
        "live_streaming.push_key",
        "live_streaming.play_key",
        "live_streaming.callback_key",
        "live_streaming.secret_key",
    ),
    "age_verification.secret_key",
    *("pay.apiv3_key", "pay.app_key", "pay.push_token", "pay.push_aes_key"),
}


def weakness(name: str, secret: str) -> str | None:
    """Why the secret of this setting is too weak; None if it is strong enough, or no secret."""
    strength = _required(name)
    if strength is None:
        return None
    if len(secret) < strength.length:
        return (
            f"has fewer than {strength.length} characters, so that its signatures or logins could "
            "be forged by guessing it"
        )
    if estimated_bits(secret) < strength.bits:
        return "is easy to guess: repeated or consecutive characters; take a random value"
    return None


def _required(name: str) -> Strength | None:
    if name in OWN_SECRETS:
        return OWN
    is_app_secret = name.startswith("wechat.apps.") and name.endswith(".secret")
    return SHARED if is_app_secret or name in SHARED_SECRETS else None


def estimated_bits(secret: str) -> float:
    """Upper bound of the secret's entropy, from its characters alone.

    A repetition such as abab counts once, a sequence such as 1234 as its first character. Words are
    not recognized.
    """
    pattern = secret[: _period(secret)]
    steps = [after for before, after in pairwise(pattern) if abs(ord(after) - ord(before)) > 1]
    characters = Counter([*pattern[:1], *steps])
    total = characters.total()
    return -sum(n * math.log2(n / total) for n in characters.values())


def _period(text: str) -> int:
    """Length of the shortest text whose repetition begins with `text`."""
    return next((n for n in range(1, len(text)) if text[n:] == text[:-n]), len(text))
