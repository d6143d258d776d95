"""Refuses secrets that are too short or too easy to guess."""

from zxcvbn import zxcvbn

OWN_LENGTH = 24
"""Minimum length of secrets that only we choose. One answer signed with a weak `content_key` is
enough to guess it, without a limit on attempts. `openssl rand -hex 16` has 32 characters."""
SHARED_LENGTH = 16
"""Minimum length of secrets that WeChat or Tencent issue, or whose format they limit (a push
token: 3 to 32)."""
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
CHECKED_CHARACTERS = 24
"""Characters at the beginning of a secret that must be hard to guess; it takes 4 ms."""
LEAST_SCORE = 4
"""Of zxcvbn, from 0 to 4: at least 10^10 guesses. Sequences of letters, digits or keys have less,
as has each of its 30,000 common passwords."""


def weakness(name: str, secret: str) -> str | None:
    """Return why the secret of a setting is too weak, None if it is strong enough or no secret."""
    length = _required_length(name)
    if len(secret) < length:
        return (
            f"has fewer than {length} characters, so that its signatures or logins could "
            "be forged by guessing it"
        )
    if length and is_easy_to_guess(secret[:CHECKED_CHARACTERS]):
        return "is easy to guess: repetitions, sequences or common words; take a random value"
    return None


def _required_length(name: str) -> int:
    if name in OWN_SECRETS:
        return OWN_LENGTH
    is_app_secret = name.startswith("wechat.apps.") and name.endswith(".secret")
    return SHARED_LENGTH if is_app_secret or name in SHARED_SECRETS else 0


def is_easy_to_guess(text: str, *names: str) -> bool:
    """Return whether few guesses find `text`, for an attacker who knows the `names`.

    The time grows with the square of its length.
    """
    score: int = zxcvbn(text, user_inputs=names)["score"]
    return score < LEAST_SCORE
