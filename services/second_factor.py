"""Time-based one-time codes (RFC 6238) of an authenticator app."""

import hmac
from dataclasses import dataclass, field

import pyotp
import segno

STEP_SECONDS = 30
TOLERATED_STEPS = (-1, 0, 1)
"""A phone's clock may be half a minute off, and typing takes time."""
ISSUER = "QLive"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What an authenticator app is set up with: `uri` as text, `qr` a data URI of its QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr: str = field(repr=False)


def new_secret() -> str:
    return pyotp.random_base32()


def second_factor(name: str, secret: str) -> SecondFactor:
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    # Black on white in both colour schemes: cameras do not read the inverse.
    qr = segno.make(uri, error="m").svg_data_uri(scale=4, light="#fff")
    return SecondFactor(secret, uri, qr)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step that has this code, of those tolerated at `now` (unix seconds), else None."""
    current = int(now) // STEP_SECONDS
    matching = [
        current + offset
        for offset in TOLERATED_STEPS
        if hmac.compare_digest(code_of(secret, current + offset).encode(), code.encode())
    ]
    return max(matching, default=None)


def code_of(secret: str, step: int) -> str:
    return pyotp.TOTP(secret).generate_otp(step)
