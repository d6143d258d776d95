import random
import string

import pytest

from config.secret_strength import OWN, SHARED, estimated_bits

ALPHABETS = {"hex": "0123456789abcdef", "letters and digits": string.ascii_letters + string.digits}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_values_are_strong_enough(alphabet: str) -> None:
    source = random.Random(13)
    for _ in range(2000):
        assert estimated_bits("".join(source.choices(ALPHABETS[alphabet], k=32))) > OWN.bits
    of_tencent = random.Random(13).choices(ALPHABETS["letters and digits"], k=16)
    assert estimated_bits("".join(of_tencent)) > SHARED.bits


@pytest.mark.parametrize(
    "secret", ["a" * 64, "abcdefghijklmnopqrstuvwxyz", "1234567890" * 4, "secret" * 10, "-" * 30]
)
def test_repetitions_and_sequences_are_weak(secret: str) -> None:
    assert estimated_bits(secret) < SHARED.bits
