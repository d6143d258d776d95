import base64
import hashlib
import hmac
import time
from types import SimpleNamespace

import pytest

from tencent.im import ADMIN_RENEW_AFTER_SECONDS, ADMIN_TTL_SECONDS, UserSigSigner
from tests.support.usersig import decode_usersig

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"


def expected_sig(ticket: dict, key: str) -> str:
    """The signature as Tencent documents it, computed without the signing package."""
    lines = [
        f"TLS.identifier:{ticket['TLS.identifier']}",
        f"TLS.sdkappid:{ticket['TLS.sdkappid']}",
        f"TLS.time:{ticket['TLS.time']}",
        f"TLS.expire:{ticket['TLS.expire']}",
    ]
    text = "\n".join(lines) + "\n"
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


@pytest.fixture
def set_clock(monkeypatch):
    """Patches both clocks; returns a list whose only item is the current time."""

    def start(now: float) -> list[float]:
        clock = [now]
        monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=lambda: clock[0]))
        monkeypatch.setattr("tencent.im.time", lambda: clock[0])
        return clock

    return start


def test_usersig_verifies_against_an_independent_implementation():
    before = int(time.time())
    ticket = decode_usersig(UserSigSigner(1400000000, KEY).sign("20231115", 7200))
    assert ticket["TLS.identifier"] == "20231115"
    assert ticket["TLS.sdkappid"] == 1400000000
    assert ticket["TLS.expire"] == 7200
    assert before <= ticket["TLS.time"] <= time.time()
    assert ticket["TLS.sig"] == expected_sig(ticket, KEY)
    assert ticket["TLS.sig"] != expected_sig(ticket, KEY[1:])


def test_usersig_vectors_match(vectors, set_clock):
    vector = vectors("usersig")
    plain = [case for case in vector["cases"] if case["userbuf_b64"] is None]
    assert len(plain) == 3
    set_clock(vector["time"])
    for case in plain:
        usersig = UserSigSigner(vector["sdkappid"], vector["key"]).sign(
            case["identifier"], vector["expire"]
        )
        assert decode_usersig(usersig) == case["decoded"]
        assert decode_usersig(usersig)["TLS.sig"] == expected_sig(case["decoded"], vector["key"])


def test_admin_usersig_is_cached_and_renewed_before_it_expires(set_clock):
    now = set_clock(1_700_000_000.0)
    signer = UserSigSigner(1400000000, KEY)
    first = signer.for_admin("administrator")
    assert decode_usersig(first)["TLS.expire"] == ADMIN_TTL_SECONDS
    now[0] += ADMIN_RENEW_AFTER_SECONDS - 1
    assert signer.for_admin("administrator") == first
    now[0] += 1
    second = signer.for_admin("administrator")
    assert decode_usersig(second)["TLS.time"] == int(now[0])
    assert decode_usersig(first)["TLS.time"] + ADMIN_TTL_SECONDS - now[0] > 3600


def test_admin_usersig_can_be_renewed_on_request(set_clock):
    now = set_clock(1_700_000_000.0)
    signer = UserSigSigner(1400000000, KEY)
    first = signer.for_admin("administrator")
    now[0] += 5
    second = signer.for_admin("administrator", renew=True)
    assert decode_usersig(second)["TLS.time"] == decode_usersig(first)["TLS.time"] + 5
    assert signer.for_admin("administrator") == second


def test_administrators_do_not_share_a_usersig():
    signer = UserSigSigner(1400000000, KEY)
    assert decode_usersig(signer.for_admin("a"))["TLS.identifier"] == "a"
    assert decode_usersig(signer.for_admin("b"))["TLS.identifier"] == "b"
