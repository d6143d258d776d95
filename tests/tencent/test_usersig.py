import base64
import hashlib
import hmac
import json
import time
import zlib
from types import SimpleNamespace

import pytest

from tencent.usersig import ADMIN_RENEWAL, ADMIN_SECONDS, UserSigs

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"


def decoded(usersig: str) -> dict:
    packed = base64.b64decode(
        usersig.replace("*", "+").replace("-", "/").replace("_", "="), validate=True
    )
    return json.loads(zlib.decompress(packed))


def expected_sig(ticket: dict, key: str) -> str:
    """The signature as Tencent's document gives it, written without the package that signs."""
    lines = [
        f"TLS.identifier:{ticket['TLS.identifier']}",
        f"TLS.sdkappid:{ticket['TLS.sdkappid']}",
        f"TLS.time:{ticket['TLS.time']}",
        f"TLS.expire:{ticket['TLS.expire']}",
    ]
    text = "\n".join(lines) + "\n"
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


@pytest.fixture
def at(monkeypatch):
    """Sets the clock of the signing package and ours; returns a list whose only item is now."""

    def start(now: float) -> list[float]:
        clock = [now]
        monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=lambda: clock[0]))
        monkeypatch.setattr("tencent.usersig.time", lambda: clock[0])
        return clock

    return start


def test_a_signature_verifies_independently():
    before = int(time.time())
    ticket = decoded(UserSigs(1400000000, KEY).sign("20231115", 7200))
    assert ticket["TLS.identifier"] == "20231115"
    assert ticket["TLS.sdkappid"] == 1400000000
    assert ticket["TLS.expire"] == 7200
    assert before <= ticket["TLS.time"] <= time.time()
    assert ticket["TLS.sig"] == expected_sig(ticket, KEY)
    assert ticket["TLS.sig"] != expected_sig(ticket, KEY[1:])


def test_the_vectors_come_out(vectors, at):
    known = vectors("usersig")
    plain = [case for case in known["cases"] if case["userbuf_b64"] is None]
    assert len(plain) == 3
    at(known["time"])
    for case in plain:
        usersig = UserSigs(known["sdkappid"], known["key"]).sign(
            case["identifier"], known["expire"]
        )
        assert decoded(usersig) == case["decoded"]
        assert decoded(usersig)["TLS.sig"] == expected_sig(case["decoded"], known["key"])


def test_the_administrators_signature_is_kept_and_renewed_long_before_it_expires(at):
    now = at(1_700_000_000.0)
    sigs = UserSigs(1400000000, KEY)
    first = sigs.for_admin("administrator")
    assert decoded(first)["TLS.expire"] == ADMIN_SECONDS
    now[0] += ADMIN_RENEWAL - 1
    assert sigs.for_admin("administrator") == first
    now[0] += 1
    second = sigs.for_admin("administrator")
    assert decoded(second)["TLS.time"] == int(now[0])
    assert decoded(first)["TLS.time"] + ADMIN_SECONDS - now[0] > 3600


def test_a_renewal_can_be_asked_for(at):
    now = at(1_700_000_000.0)
    sigs = UserSigs(1400000000, KEY)
    first = sigs.for_admin("administrator")
    now[0] += 5
    second = sigs.for_admin("administrator", renew=True)
    assert decoded(second)["TLS.time"] == decoded(first)["TLS.time"] + 5
    assert sigs.for_admin("administrator") == second


def test_two_administrators_do_not_share_a_signature():
    sigs = UserSigs(1400000000, KEY)
    assert decoded(sigs.for_admin("a"))["TLS.identifier"] == "a"
    assert decoded(sigs.for_admin("b"))["TLS.identifier"] == "b"
