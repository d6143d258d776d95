import base64
import hashlib
import hmac
import time
from types import SimpleNamespace

import pytest

from config.sections import ImSettings
from tencent.im import ImClient
from tests.support.usersig import decode_usersig

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"


def signer(sdk_app_id: int, key: str) -> ImClient:
    return ImClient(None, ImSettings(sdk_app_id=sdk_app_id, secret_key=key))


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
    """Sets the clock of the signing package."""

    def start(now: float) -> None:
        monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=lambda: now))

    return start


def test_usersig_verifies_against_an_independent_implementation():
    before = int(time.time())
    ticket = decode_usersig(signer(1400000000, KEY).user_sig("20231115", 7200))
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
        usersig = signer(vector["sdkappid"], vector["key"]).user_sig(
            case["identifier"], vector["expire"]
        )
        assert decode_usersig(usersig) == case["decoded"]
        assert decode_usersig(usersig)["TLS.sig"] == expected_sig(case["decoded"], vector["key"])
