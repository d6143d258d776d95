from typing import Any

from tencent.xpaysign import ASKED_BY_PHONE, pay_sig, signature


def test_the_servers_signatures_are_wechats_own(vectors: Any) -> None:
    cases = vectors("xpay")["server_signatures"]
    for case in cases:
        assert pay_sig(case["app_key"], case["uri"], case["body"]) == case["pay_sig"]
        if "signature" in case:
            assert signature(case["session_key"], case["body"]) == case["signature"]
    assert any(case["origin"] == "official" for case in cases)


def test_the_phones_signatures_are_those_of_others(vectors: Any) -> None:
    for case in vectors("xpay")["client_signatures"]:
        assert pay_sig(case["app_key"], ASKED_BY_PHONE, case["signData"]) == case["paySig"]
        assert signature(case["session_key"], case["signData"]) == case["signature"]
