import random
import string

import pytest

from config.settings import OWN_LENGTH, SHARED_LENGTH, weakness

ALPHABETS = {"hex": "0123456789abcdef", "letters and digits": string.ascii_letters + string.digits}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_values_are_strong_enough(alphabet: str) -> None:
    source = random.Random(13)
    for name, length in (("ops.token", OWN_LENGTH), ("pay.push_token", SHARED_LENGTH)) * 50:
        assert weakness(name, "".join(source.choices(ALPHABETS[alphabet], k=length))) is None


@pytest.mark.parametrize("name", ["ops.token", "pay.push_token", "wechat.apps.wx1.secret"])
@pytest.mark.parametrize(
    "secret",
    [
        *("a" * 64, "abcdefghijklmnopqrstuvwxyz", "1234567890" * 4, "secret" * 10, "-" * 30),
        *("0123456789abcdef" * 2, "qwertyuiopasdfghjklzxcvbnm"),
    ],
)
def test_repetitions_and_sequences_are_weak(name: str, secret: str) -> None:
    assert "is easy to guess" in (weakness(name, secret) or "")


def test_other_settings_may_be_of_any_text() -> None:
    assert weakness("live.push_domain", "aaa") is None
