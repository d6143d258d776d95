import base64
import hashlib
import json
import struct

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from tencent.message_push import (
    ACCOUNT_CLOSED,
    CONSENT_REVOKED,
    MAX_AGE_SECONDS,
    PLATFORM_EVENTS,
    MessagePush,
    MessagePushReader,
    event_name,
    is_deletion,
)
from tencent.xpay import DELIVERED, REFUNDED

NOW = 1_714_112_445


@pytest.fixture
def official(vectors):
    return vectors("message_push")


@pytest.fixture
def plain_reader(official):
    return MessagePushReader(official["token"], "", official["appid"])


@pytest.fixture
def encrypted_reader(official):
    return MessagePushReader(official["token"], official["encoding_aes_key"], official["appid"])


def sha1_signature(token, timestamp, *more):
    parts = sorted([token, str(timestamp), "nonce", *more])
    return hashlib.sha1("".join(parts).encode()).hexdigest()


@pytest.fixture
def encrypt(official):
    """Builds a push encrypted and signed as WeChat does; app and length can be overridden."""

    def build(message, app_id="", length=None):
        key = base64.b64decode(official["encoding_aes_key"] + "=")
        length_field = struct.pack(">I", len(message) if length is None else length)
        plaintext = bytes(16) + length_field + message + (app_id or official["appid"]).encode()
        cipher = AES.new(key, AES.MODE_CBC, iv=key[:16])
        ciphertext = base64.b64encode(cipher.encrypt(pad(plaintext, 32))).decode()
        return query(official["token"], ciphertext), json.dumps({"Encrypt": ciphertext}).encode()

    return build


def query(token, ciphertext):
    return {
        "timestamp": str(NOW),
        "nonce": "nonce",
        "encrypt_type": "aes",
        "msg_signature": sha1_signature(token, NOW, ciphertext),
    }


def refusal(reader, query, body, now=NOW):
    push = reader.open(query, body, now)
    assert push == MessagePush(refused=push.refused, kind=push.kind)
    return push.refused


# ---- WeChat's vectors


def test_url_verification_echoes_the_body(official, plain_reader, encrypted_reader):
    check = official["get_verify"]
    for reader in (plain_reader, encrypted_reader):
        assert reader.verify_url(check, int(check["timestamp"])) == check["expect_body"]
        assert reader.verify_url({**check, "nonce": "1"}, int(check["timestamp"])) is None


def test_plain_push_is_parsed_unless_encryption_is_configured(
    official, plain_reader, encrypted_reader
):
    case = official["plain_post"]
    body, now = json.dumps(case["body"]).encode(), int(case["query"]["timestamp"])
    push = plain_reader.open(case["query"], body, now)
    assert push == MessagePush(case["body"], encrypted=False, kind=case["body"]["Event"])
    assert refusal(encrypted_reader, case["query"], body, now) == "plain"
    for body in (b'{"Encrypt": 1}', b"{}"):
        assert refusal(encrypted_reader, {"encrypt_type": "aes"}, body) == "plain"


def test_encrypted_push_vectors_are_accepted_or_refused(official, encrypted_reader):
    words = {"reject_appid": "app", "reject_signature": "sign"}
    for case in official["safe_post"]:
        body, now = json.dumps(case["body"]).encode(), int(case["query"]["timestamp"])
        if case["expect"] == "ok":
            push = encrypted_reader.open(case["query"], body, now)
            content = json.loads(case["plaintext"])
            kind = str(content.get("Event"))
            assert push == MessagePush(content, encrypted=True, kind=kind)
        else:
            assert refusal(encrypted_reader, case["query"], body, now) == words[case["expect"]]
    assert {case["expect"] for case in official["safe_post"]} >= {"ok", *words}


# ---- invalid pushes


def test_push_outside_the_time_window_is_stale(official, plain_reader, encrypted_reader, encrypt):
    pushed = encrypt(b"{}")
    for age in (MAX_AGE_SECONDS, -MAX_AGE_SECONDS):
        assert encrypted_reader.open(*pushed, NOW + age).content == {}
    for age in (MAX_AGE_SECONDS + 1, -MAX_AGE_SECONDS - 1):
        assert refusal(encrypted_reader, *pushed, now=NOW + age) == "stale"
    signature = sha1_signature(official["token"], "now")
    signed_query = {"timestamp": "now", "nonce": "nonce", "signature": signature}
    assert refusal(plain_reader, signed_query, b"{}") == "unreadable"


def test_push_that_is_not_an_object_or_cannot_be_stored_is_unreadable(
    official, plain_reader, encrypted_reader, encrypt
):
    for body in (b"", b"<xml></xml>", b'{"a": "\\ud800"}'):
        assert refusal(plain_reader, {}, body) == "unreadable"
        assert refusal(encrypted_reader, *encrypt(body)) == "unreadable"
        assert refusal(encrypted_reader, encrypt(body)[0], body) == "unreadable"
    for ciphertext in ("", "?", "AAAA", base64.b64encode(bytes(64)).decode()):
        body = json.dumps({"Encrypt": ciphertext}).encode()
        assert refusal(encrypted_reader, query(official["token"], ciphertext), body) == "unreadable"


def test_push_for_another_app_or_with_a_wrong_length_is_refused(encrypted_reader, encrypt):
    assert refusal(encrypted_reader, *encrypt(b"{}", app_id="wx0000000000000000")) == "app"
    for length in (0, 1, 3, 2**32 - 1):
        assert refusal(encrypted_reader, *encrypt(b"{}", length=length)) == "app"


def test_a_missing_token_refuses_pushes_and_an_invalid_aes_key_the_start():
    signed_query = {"timestamp": str(NOW), "nonce": "nonce", "signature": sha1_signature("", NOW)}
    assert refusal(MessagePushReader("", "", "wx"), signed_query, b"{}") == "no_key"
    for key in ("A" * 42, "A" * 44, "?" * 43):
        with pytest.raises(ValueError, match=r"43 characters|base64|padding|characters"):
            MessagePushReader("t", key, "wx")


def test_a_push_has_a_kind_only_if_its_signature_is_right(
    official, plain_reader, encrypted_reader, encrypt
):
    pushed, body = encrypt(b'{"Event": "a"}'), b'{"Event": "b"}'
    signature = sha1_signature(official["token"], NOW)
    plain = {"timestamp": str(NOW), "nonce": "nonce", "signature": signature}
    for reader, query, content, now, kind in (
        (encrypted_reader, *pushed, NOW, "a"),
        (encrypted_reader, *pushed, NOW + MAX_AGE_SECONDS + 1, "a"),
        (encrypted_reader, *encrypt(b"{}", app_id="wx0000000000000000"), NOW, ""),
        (encrypted_reader, {**pushed[0], "nonce": "x"}, pushed[1], NOW, None),
        (encrypted_reader, plain, body, NOW, None),
        (plain_reader, plain, body, NOW, "b"),
        (plain_reader, {**plain, "nonce": "x"}, body, NOW, None),
    ):
        assert reader.open(query, content, now).kind == kind


# ---- encrypted answers


def test_encrypted_reply_is_that_of_the_vector(
    official, plain_reader, encrypted_reader, monkeypatch
):
    assert plain_reader.encrypt("{}", NOW) is None
    case = official["encrypted_reply"]
    monkeypatch.setattr("secrets.token_bytes", lambda _: case["random16"].encode())
    monkeypatch.setattr("secrets.token_hex", lambda _: case["nonce"])
    assert encrypted_reader.encrypt(case["plaintext"], case["timestamp"]) == {
        "Encrypt": case["Encrypt"],
        "MsgSignature": case["MsgSignature"],
        "TimeStamp": case["timestamp"],
        "Nonce": case["nonce"],
    }


def test_only_events_that_move_no_gold_are_platform_events():
    assert {event_name({"Event": name}) for name in PLATFORM_EVENTS} == PLATFORM_EVENTS
    for content in ({}, {"Event": DELIVERED}, {"Event": REFUNDED}, {"Event": ["x"]}):
        assert event_name(content) == ""


def test_consent_to_what_is_not_stored_starts_no_deletion():
    for info in ("6", "14", "19", "20", "99", None):
        assert is_deletion({"Event": CONSENT_REVOKED, "RevokeInfo": info})
    assert is_deletion({"Event": ACCOUNT_CLOSED})
    for info in ("5", "7", "13"):
        assert is_deletion({"Event": ACCOUNT_CLOSED, "RevokeInfo": info})
        assert not is_deletion({"Event": CONSENT_REVOKED, "RevokeInfo": info})
    assert not is_deletion({"Event": "wxa_punish_event", "RevokeInfo": "6"})
