import re
from base64 import b32encode

import pytest

from services.second_factor import code_of, new_secret, second_factor, step_of

RFC_SECRET = b32encode(b"12345678901234567890").decode()
"""Appendix B of RFC 6238, whose codes have eight digits; ours are the last six."""


@pytest.mark.parametrize(
    ("now", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_standard(now: int, code: str) -> None:
    assert step_of(RFC_SECRET, code, now) == now // 30


def test_a_code_is_tolerated_for_one_step_before_and_after_its_own() -> None:
    code = code_of(RFC_SECRET, 100)
    accepted = [step for step in range(90, 110) if step_of(RFC_SECRET, code, step * 30)]
    assert accepted == [99, 100, 101]
    assert step_of(RFC_SECRET, "", 3000) is None


def test_the_qr_code_is_an_image_in_the_page_itself() -> None:
    factor = second_factor("anna", new_secret())
    assert re.fullmatch(r"otpauth://totp/QLive:anna\?secret=[A-Z2-7]{32}&issuer=QLive", factor.uri)
    assert factor.qr.startswith("data:image/svg+xml")
    assert factor.secret not in repr(factor)
