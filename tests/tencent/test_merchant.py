"""Signatures and encryption of WeChat Pay, and the errors that its answers become."""

import json
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from config.sections import PaySettings
from core.errors import RateLimited
from tencent.errors import (
    MerchantNotFound,
    MerchantRefused,
    NotVerified,
    Reason,
    ServiceUnavailable,
)
from tencent.merchant import MerchantClient, decrypt_resource, read_key, verify
from tencent.service_client import ServiceResponse
from tests.support.tencent import merchant_client, signed_reply

NOW = 1_700_000_006


@pytest.fixture
def client(merchant):
    platform = merchant["platform"]
    certificates = {platform["certificate_serial"]: platform["certificate_pem"]}
    return merchant_client(merchant, now=lambda: NOW, platform_keys=certificates)


@pytest.fixture
def answer(merchant):
    """A signed answer."""
    return merchant["responses"][0]


# ---- signatures


def test_signatures_of_requests_and_payment_calls_equal_the_vectors(merchant, client):
    assert len(merchant["requests"]) == 5
    for case in merchant["requests"]:
        names = ("method", "url_path_and_query", "timestamp", "nonce_str", "body")
        signature = client.sign(*(case[name] for name in names))
        assert f'signature="{signature}"' in case["authorization"]
    case = merchant["client_pay"][0]
    lines = (case[name] for name in ("appId", "timeStamp", "nonceStr", "package"))
    assert client.sign(*lines) == case["paySign"]


def test_answer_vectors_verify_and_changed_bytes_do_not(merchant, client):
    assert len(merchant["responses"]) == 3
    for case in merchant["responses"]:
        body = case["body"].encode()
        lower_case = {name.lower(): value for name, value in case["headers"].items()}
        verify(lower_case, body, client.keys, NOW)
        verify(case["headers"], body, client.keys, NOW)
        with pytest.raises(NotVerified, match="wrong signature"):
            verify(case["headers"], body + b" ", client.keys, NOW)


def test_an_answer_is_fresh_for_five_minutes_in_either_direction(answer, client):
    body, timestamp = answer["body"].encode(), int(answer["headers"]["Wechatpay-Timestamp"])
    for now in (timestamp - 300, timestamp + 300):
        verify(answer["headers"], body, client.keys, now)
    for now in (timestamp - 301, timestamp + 301):
        with pytest.raises(NotVerified, match="stale"):
            verify(answer["headers"], body, client.keys, now)


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("Wechatpay-Timestamp", "+1700000001", "unreadable"),
        ("Wechatpay-Timestamp", "1700000002", "wrong signature"),
        ("Wechatpay-Nonce", None, "wrong signature"),
        ("Wechatpay-Serial", "7777777777777777777777777777777777777777", "unknown serial"),
        ("Wechatpay-Signature", None, "wrong signature"),
        ("Wechatpay-Signature", "not base64!", "wrong signature"),
        ("Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAECAwQ=", "probe"),
    ],
)
def test_missing_or_changed_header_is_refused(answer, client, header, value, reason):
    headers = {**answer["headers"], header: value}
    headers = {name: text for name, text in headers.items() if text is not None}
    with pytest.raises(NotVerified, match=reason):
        verify(headers, answer["body"].encode(), client.keys, NOW)


def test_official_fixtures_verify_and_decrypt(merchant):
    go = merchant["official_go_fixture"]
    keys = {go["certificate_serial"]: read_key(go["certificate_pem"])}
    verify(go["headers"], go["body"].encode(), keys, 1624523846)
    resource = json.loads(go["body"])["resource"]
    assert decrypt_resource(go["apiv3_key"], resource) == json.loads(go["plaintext"])


# ---- encrypted resources


def test_changed_resource_of_another_key_or_without_an_object_is_refused(merchant):
    resource = json.loads(merchant["notifications"][0]["body"])["resource"]
    assert decrypt_resource(merchant["apiv3_key"], resource)
    for key in ("x" * 32, "short", ""):
        with pytest.raises(NotVerified):
            decrypt_resource(key, resource)
    for change in (
        {"ciphertext": "AAAA" * 20},
        {"ciphertext": "not base64!"},
        {"ciphertext": None},
        {"nonce": ""},
        {"associated_data": "refund"},
        {"algorithm": "AEAD_SM4_GCM"},
    ):
        with pytest.raises(NotVerified):
            decrypt_resource(merchant["apiv3_key"], {**resource, **change})
    encrypted = {"algorithm": "AEAD_AES_256_GCM", **merchant["official_go_fixture"]["aes_gcm"]}
    with pytest.raises(NotVerified, match="unreadable"):
        decrypt_resource(encrypted["key"], encrypted)


# ---- keys


def test_unreadable_keys_and_missing_keys_raise_at_construction(merchant):
    for text in ("", "no key", "-----BEGIN NOTHING-----", "-----BEGIN PUBLIC KEY-----\n"):
        with pytest.raises(ValueError, match="RSA key"):
            read_key(text)
    own = merchant["merchant"]["private_key_pem"]
    for pay in (PaySettings(private_key="no key"), PaySettings(private_key=own)):
        with pytest.raises(ValueError, match=r"RSA key|WeChat Pay's key"):
            MerchantClient(SimpleNamespace(service="pay"), pay)


def test_fields_are_encrypted_with_the_public_key_before_a_certificate(merchant, client):
    platform = merchant["platform"]
    assert client.encryption_serial == platform["public_key_id"]
    certificates = {platform["certificate_serial"]: platform["certificate_pem"]}
    client = merchant_client(merchant, public_key="", platform_keys=certificates)
    assert client.encryption_serial == platform["certificate_serial"]


# ---- answers


@pytest.fixture
def signed(merchant):
    """An answer signed by WeChat Pay; `headers` overrides its headers."""

    def build(status, content, **headers):
        reply = signed_reply(merchant, content, NOW)
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return ServiceResponse(status, reply.headers | changed, reply.body)

    return build


async def call(client, response, read=dict):
    async def request(*_args, **_options):
        return response

    client.request = request
    return await client.call("refund", "R1", read, "GET", "/")


def not_verified(_content):
    raise NotVerified(Reason.MERCHANT)


async def test_only_a_signed_answer_with_status_200_has_content(client, signed):
    content, forged = {"code": "NO"}, {"Wechatpay_Signature": "AAAA"}
    assert await call(client, signed(200, content)) == content
    body = json.dumps(content).encode()
    for response, why in (
        (signed(200, content, **forged), "wrong signature"),
        (signed(403, content, **forged), "HTTP 403 NO, wrong signature"),
        *((ServiceResponse(status, {}, body), f"HTTP {status} NO") for status in (204, 302)),
        *((ServiceResponse(status, {}, b"<html>"), f"HTTP {status} ") for status in (204, 404)),
        (ServiceResponse(404, {}, b"{}"), "HTTP 404 "),
        (ServiceResponse(200, {}, body), "unreadable"),
    ):
        with capture_logs() as logs, pytest.raises(ServiceUnavailable, match="pay"):
            await call(client, response)
        assert [(entry["number"], entry["why"]) for entry in logs] == [("R1", why)]
    with pytest.raises(ServiceUnavailable):
        await call(client, signed(200, content), not_verified)


async def test_a_refusal_has_its_code_also_without_a_signature(client, signed):
    code = {"code": "NOT_ENOUGH"}
    body = json.dumps(code).encode()
    for response, error in (
        (signed(403, code), MerchantRefused),
        (ServiceResponse(403, {}, body), MerchantRefused),
        (ServiceResponse(404, {}, body), MerchantNotFound),
    ):
        with pytest.raises(error, match="NOT_ENOUGH"):
            await call(client, response)
    with pytest.raises(RateLimited):
        await call(client, ServiceResponse(429, {}, body))
