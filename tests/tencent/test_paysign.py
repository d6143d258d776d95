import json

import pytest

from tencent.paysign import (
    NotGenuine,
    decrypt,
    decrypt_resource,
    read_key,
    sign,
    sign_request,
    sign_text,
    verify,
)


@pytest.fixture
def ours(merchant):
    return read_key(merchant["merchant"]["private_key_pem"])


@pytest.fixture
def theirs(merchant):
    platform = merchant["platform"]
    return {
        platform["public_key_id"]: read_key(platform["public_key_pem"]),
        platform["certificate_serial"]: read_key(platform["certificate_pem"]),
    }


def test_our_signature_is_the_known_one_for_every_request(merchant, ours):
    assert len(merchant["requests"]) == 5
    for case in merchant["requests"]:
        header = sign_request(
            ours,
            merchant["mchid"],
            merchant["merchant"]["serial_no"],
            case["method"],
            case["url_path_and_query"],
            case["body"],
            now=int(case["timestamp"]),
            nonce=case["nonce_str"],
        )
        assert header == case["authorization"]


def test_the_phones_signature_is_the_known_one(merchant, ours):
    case = merchant["client_pay"][0]
    signature = sign(ours, case["appId"], case["timeStamp"], case["nonceStr"], case["package"])
    assert signature == case["paySign"]


def test_the_official_signer_agrees(merchant):
    # That fixture signs bare text, which ours never does: no lines' ends are added here.
    signer = merchant["official_go_fixture"]["signer"]
    assert sign_text(read_key(signer["private_key_pem"]), signer["message"]) == signer["signature"]


def test_every_answer_verifies_byte_for_byte_only(merchant, theirs):
    assert len(merchant["responses"]) == 3
    for case in merchant["responses"]:
        body = case["body"].encode()
        verify(case["headers"], body, theirs, 1700000006)
        with pytest.raises(NotGenuine, match="wrong signature"):
            verify(case["headers"], body + b" ", theirs, 1700000006)


REASONS = {
    "reject_stale": "stale timestamp",
    "reject_serial": "unknown serial",
    "reject_signature": "wrong signature|a probe",
}


def test_notifications_verify_or_say_why_not(merchant, theirs):
    for case in merchant["notifications"]:
        reason = REASONS.get(case["expect"])
        if reason is None:
            verify(case["headers"], case["body"].encode(), theirs, case["now"])
        else:
            with pytest.raises(NotGenuine, match=reason):
                verify(case["headers"], case["body"].encode(), theirs, case["now"])
    outcomes = {case["expect"] for case in merchant["notifications"]}
    assert outcomes >= REASONS.keys() | {"ok"}


def test_a_probe_is_refused_as_such(merchant, theirs):
    case = next(case for case in merchant["notifications"] if case["name"] == "probe signature")
    with pytest.raises(NotGenuine, match="probe"):
        verify(case["headers"], case["body"].encode(), theirs, case["now"])


def test_five_minutes_either_way_are_fresh(merchant, theirs):
    case = merchant["responses"][0]
    body, stamp = case["body"].encode(), int(case["headers"]["Wechatpay-Timestamp"])
    for now in (stamp - 300, stamp + 300):
        verify(case["headers"], body, theirs, now)
    for now in (stamp - 301, stamp + 301):
        with pytest.raises(NotGenuine, match="stale"):
            verify(case["headers"], body, theirs, now)


def test_headers_are_found_in_any_case(merchant, theirs):
    case = merchant["responses"][0]
    lower = {name.lower(): value for name, value in case["headers"].items()}
    verify(lower, case["body"].encode(), theirs, 1700000006)


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("Wechatpay-Timestamp", None, "no timestamp"),
        ("Wechatpay-Timestamp", "", "no timestamp"),
        ("Wechatpay-Timestamp", "+1700000001", "no timestamp"),
        ("Wechatpay-Timestamp", "１７０００００００１", "no timestamp"),
        ("Wechatpay-Timestamp", "9" * 5000, "no timestamp"),
        ("Wechatpay-Timestamp", "1700000002", "wrong signature"),
        ("Wechatpay-Nonce", None, "wrong signature"),
        ("Wechatpay-Nonce", "another", "wrong signature"),
        ("Wechatpay-Serial", None, "unknown serial"),
        ("Wechatpay-Signature", None, "wrong signature"),
        ("Wechatpay-Signature", "not base64!", "wrong signature"),
        ("Wechatpay-Signature", "AAAA", "wrong signature"),
    ],
)
def test_a_header_missing_or_altered_is_refused(merchant, theirs, header, value, reason):
    case = merchant["responses"][0]
    headers = {**case["headers"], header: value}
    headers = {name: text for name, text in headers.items() if text is not None}
    with pytest.raises(NotGenuine, match=reason):
        verify(headers, case["body"].encode(), theirs, 1700000006)


def test_a_signature_under_another_of_our_known_keys_is_refused(merchant, ours):
    case = merchant["responses"][0]
    keys = {case["headers"]["Wechatpay-Serial"]: ours.public_key()}
    with pytest.raises(NotGenuine, match="wrong signature"):
        verify(case["headers"], case["body"].encode(), keys, 1700000006)


def test_every_genuine_notification_opens_to_its_text(merchant):
    opened = 0
    for case in merchant["notifications"]:
        resource = json.loads(case["body"])["resource"]
        plain = decrypt_resource(merchant["apiv3_key"], resource)
        assert plain == json.loads(case["plaintext"])
        opened += 1
    assert opened == 9


def test_the_official_fixtures_verify_and_open(merchant):
    go = merchant["official_go_fixture"]
    keys = {go["certificate_serial"]: read_key(go["certificate_pem"])}
    verify(go["headers"], go["body"].encode(), keys, 1624523846)
    resource = json.loads(go["body"])["resource"]
    assert decrypt_resource(go["apiv3_key"], resource) == json.loads(go["plaintext"])
    plain = decrypt(go["aes_gcm"]["key"], {"algorithm": "AEAD_AES_256_GCM", **go["aes_gcm"]})
    assert plain == b"Hello World"


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
def test_a_resource_altered_anywhere_is_refused(merchant, change):
    resource = json.loads(merchant["notifications"][0]["body"])["resource"]
    assert decrypt_resource(merchant["apiv3_key"], resource)
    with pytest.raises(NotGenuine):
        decrypt_resource(merchant["apiv3_key"], {**resource, **change})


@pytest.mark.parametrize("key", ["x" * 32, "short", ""])
def test_another_key_opens_nothing(merchant, key):
    resource = json.loads(merchant["notifications"][0]["body"])["resource"]
    with pytest.raises(NotGenuine):
        decrypt_resource(key, resource)


def test_a_resource_without_an_object_inside_is_refused(merchant):
    sealed = {"algorithm": "AEAD_AES_256_GCM", **merchant["official_go_fixture"]["aes_gcm"]}
    with pytest.raises(NotGenuine, match="no JSON object"):
        decrypt_resource(sealed["key"], sealed)


def test_an_unreadable_key_says_so_at_once():
    for text in ("", "no key", "-----BEGIN NOTHING-----", "-----BEGIN PUBLIC KEY-----\n"):
        with pytest.raises(ValueError, match="RSA key"):
            read_key(text)
