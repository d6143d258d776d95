from typing import Any

from tencent.xpay import CLIENT_CALL, pay_sig, user_signature


def test_server_signature_vectors_match(vectors: Any) -> None:
    cases = vectors("xpay")["server_signatures"]
    for case in cases:
        assert pay_sig(case["app_key"], case["uri"], case["body"]) == case["pay_sig"]
        if "signature" in case:
            assert user_signature(case["session_key"], case["body"]) == case["signature"]
    assert any(case["origin"] == "official" for case in cases)


def test_client_signature_vectors_match(vectors: Any) -> None:
    for case in vectors("xpay")["client_signatures"]:
        assert pay_sig(case["app_key"], CLIENT_CALL, case["signData"]) == case["paySig"]
        assert user_signature(case["session_key"], case["signData"]) == case["signature"]
