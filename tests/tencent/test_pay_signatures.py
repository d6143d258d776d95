import json

import pytest

from tencent.errors import NotVerified
from tencent.merchant import decrypt_resource, read_key, sign, verify


@pytest.fixture
def merchant_key(merchant):
    return read_key(merchant["merchant"]["private_key_pem"])


@pytest.fixture
def platform_keys(merchant):
    platform = merchant["platform"]
    return {
        platform["public_key_id"]: read_key(platform["public_key_pem"]),
        platform["certificate_serial"]: read_key(platform["certificate_pem"]),
    }


def test_request_signature_vectors_match(merchant, merchant_key):
    assert len(merchant["requests"]) == 5
    for case in merchant["requests"]:
        names = ("method", "url_path_and_query", "timestamp", "nonce_str", "body")
        signature = sign(merchant_key, *(case[name] for name in names))
        assert f'signature="{signature}"' in case["authorization"]


def test_client_payment_signature_vector_matches(merchant, merchant_key):
    case = merchant["client_pay"][0]
    signature = sign(
        merchant_key, case["appId"], case["timeStamp"], case["nonceStr"], case["package"]
    )
    assert signature == case["paySign"]


def test_answer_vectors_verify_and_changed_bytes_do_not(merchant, platform_keys):
    assert len(merchant["responses"]) == 3
    for case in merchant["responses"]:
        body = case["body"].encode()
        verify(case["headers"], body, platform_keys, 1700000006)
        with pytest.raises(NotVerified, match="wrong signature"):
            verify(case["headers"], body + b" ", platform_keys, 1700000006)


REASONS = {
    "reject_stale": "stale",
    "reject_serial": "unknown serial",
    "reject_signature": "wrong signature|probe",
}


def test_notification_vectors_verify_or_raise_their_reason(merchant, platform_keys):
    for case in merchant["notifications"]:
        reason = REASONS.get(case["expect"])
        if reason is None:
            verify(case["headers"], case["body"].encode(), platform_keys, case["now"])
        else:
            with pytest.raises(NotVerified, match=reason):
                verify(case["headers"], case["body"].encode(), platform_keys, case["now"])
    outcomes = {case["expect"] for case in merchant["notifications"]}
    assert outcomes >= REASONS.keys() | {"ok"}


def test_probe_signature_is_refused_as_a_probe(merchant, platform_keys):
    case = next(case for case in merchant["notifications"] if case["name"] == "probe signature")
    with pytest.raises(NotVerified, match="probe"):
        verify(case["headers"], case["body"].encode(), platform_keys, case["now"])


def test_answer_is_fresh_for_five_minutes_in_either_direction(merchant, platform_keys):
    case = merchant["responses"][0]
    body, timestamp = case["body"].encode(), int(case["headers"]["Wechatpay-Timestamp"])
    for now in (timestamp - 300, timestamp + 300):
        verify(case["headers"], body, platform_keys, now)
    for now in (timestamp - 301, timestamp + 301):
        with pytest.raises(NotVerified, match="stale"):
            verify(case["headers"], body, platform_keys, now)


def test_header_names_are_case_insensitive(merchant, platform_keys):
    case = merchant["responses"][0]
    lower_case = {name.lower(): value for name, value in case["headers"].items()}
    verify(lower_case, case["body"].encode(), platform_keys, 1700000006)


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("Wechatpay-Timestamp", None, "unreadable"),
        ("Wechatpay-Timestamp", "", "unreadable"),
        ("Wechatpay-Timestamp", "+1700000001", "unreadable"),
        ("Wechatpay-Timestamp", "１７０００００００１", "unreadable"),
        ("Wechatpay-Timestamp", "9" * 5000, "unreadable"),
        ("Wechatpay-Timestamp", "1700000002", "wrong signature"),
        ("Wechatpay-Nonce", None, "wrong signature"),
        ("Wechatpay-Nonce", "another", "wrong signature"),
        ("Wechatpay-Serial", None, "unknown serial"),
        ("Wechatpay-Signature", None, "wrong signature"),
        ("Wechatpay-Signature", "not base64!", "wrong signature"),
        ("Wechatpay-Signature", "AAAA", "wrong signature"),
    ],
)
def test_missing_or_changed_header_is_refused(merchant, platform_keys, header, value, reason):
    case = merchant["responses"][0]
    headers = {**case["headers"], header: value}
    headers = {name: text for name, text in headers.items() if text is not None}
    with pytest.raises(NotVerified, match=reason):
        verify(headers, case["body"].encode(), platform_keys, 1700000006)


def test_signature_by_another_known_key_is_refused(merchant, merchant_key):
    case = merchant["responses"][0]
    keys = {case["headers"]["Wechatpay-Serial"]: merchant_key.public_key()}
    with pytest.raises(NotVerified, match="wrong signature"):
        verify(case["headers"], case["body"].encode(), keys, 1700000006)


def test_notification_resources_decrypt_to_their_plaintext(merchant):
    decrypted = 0
    for case in merchant["notifications"]:
        resource = json.loads(case["body"])["resource"]
        plain = decrypt_resource(merchant["apiv3_key"], resource)
        assert plain == json.loads(case["plaintext"])
        decrypted += 1
    assert decrypted == 9


def test_official_fixtures_verify_and_decrypt(merchant):
    go = merchant["official_go_fixture"]
    keys = {go["certificate_serial"]: read_key(go["certificate_pem"])}
    verify(go["headers"], go["body"].encode(), keys, 1624523846)
    resource = json.loads(go["body"])["resource"]
    assert decrypt_resource(go["apiv3_key"], resource) == json.loads(go["plaintext"])


@pytest.mark.parametrize(
    "change",
    [
        {"ciphertext": "AAAA" * 20},
        {"ciphertext": "not base64!"},
        {"ciphertext": ""},
        {"ciphertext": None},
        {"nonce": "another-nonc"},
        {"nonce": ""},
        {"associated_data": "refund"},
        {"associated_data": ""},
        {"algorithm": "AEAD_SM4_GCM"},
    ],
)
def test_changed_resource_field_is_refused(merchant, change):
    resource = json.loads(merchant["notifications"][0]["body"])["resource"]
    assert decrypt_resource(merchant["apiv3_key"], resource)
    with pytest.raises(NotVerified):
        decrypt_resource(merchant["apiv3_key"], {**resource, **change})


@pytest.mark.parametrize("key", ["x" * 32, "short", ""])
def test_resource_does_not_decrypt_with_another_key(merchant, key):
    resource = json.loads(merchant["notifications"][0]["body"])["resource"]
    with pytest.raises(NotVerified):
        decrypt_resource(key, resource)


def test_resource_that_is_not_an_object_is_refused(merchant):
    sealed = {"algorithm": "AEAD_AES_256_GCM", **merchant["official_go_fixture"]["aes_gcm"]}
    with pytest.raises(NotVerified, match="unreadable"):
        decrypt_resource(sealed["key"], sealed)


def test_unreadable_key_raises_value_error():
    for text in ("", "no key", "-----BEGIN NOTHING-----", "-----BEGIN PUBLIC KEY-----\n"):
        with pytest.raises(ValueError, match="RSA key"):
            read_key(text)
