import base64
import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from devtools.simulator.notifications import SimulatedPushes
from tencent.message_push import (
    MAX_AGE_SECONDS,
    MessagePush,
    MessagePushReader,
)

NOW = 1_714_112_445
SignedPush = tuple[dict[str, str], bytes]


@pytest.fixture
def official(vectors: Any) -> Any:
    return vectors("message_push")


@pytest.fixture
def plain_reader(official: Any) -> MessagePushReader:
    return MessagePushReader(official["token"], "", official["appid"])


@pytest.fixture
def encrypted_reader(official: Any) -> MessagePushReader:
    return MessagePushReader(official["token"], official["encoding_aes_key"], official["appid"])


def sha1_signature(token: str, timestamp: int | str, *more: str) -> str:
    parts = sorted([token, str(timestamp), "nonce", *more])
    return hashlib.sha1("".join(parts).encode()).hexdigest()


@pytest.fixture
def encrypt(official: Any) -> Callable[..., SignedPush]:
    """Builds a push encrypted and signed as WeChat does; app and length can be overridden."""

    def build(message: bytes, app_id: str = "", length: int | None = None) -> SignedPush:
        key = base64.b64decode(official["encoding_aes_key"] + "=")
        length_field = struct.pack(">I", len(message) if length is None else length)
        plaintext = bytes(16) + length_field + message + (app_id or official["appid"]).encode()
        cipher = AES.new(key, AES.MODE_CBC, iv=key[:16])
        ciphertext = base64.b64encode(cipher.encrypt(pad(plaintext, 32))).decode()
        return query(official["token"], ciphertext), json.dumps({"Encrypt": ciphertext}).encode()

    return build


def query(token: str, ciphertext: str) -> dict[str, str]:
    signature = sha1_signature(token, NOW, ciphertext)
    return {
        "timestamp": str(NOW),
        "nonce": "nonce",
        "encrypt_type": "aes",
        "msg_signature": signature,
    }


def refusal(reader: MessagePushReader, query: dict[str, str], body: bytes, now: float = NOW) -> str:
    push = reader.open(query, body, now)
    assert push == MessagePush(refused=push.refused)
    return push.refused


# ---- WeChat's vectors


def test_url_verification_echoes_the_body(
    official: Any, plain_reader: MessagePushReader, encrypted_reader: MessagePushReader
) -> None:
    check = official["get_verify"]
    for reader in (plain_reader, encrypted_reader):
        assert reader.verify_url(check, int(check["timestamp"])) == check["expect_body"]
        assert reader.verify_url({**check, "nonce": "1"}, int(check["timestamp"])) is None


def test_plain_push_is_parsed_as_not_encrypted(
    official: Any, plain_reader: MessagePushReader
) -> None:
    case = official["plain_post"]
    body = json.dumps(case["body"]).encode()
    push = plain_reader.open(case["query"], body, int(case["query"]["timestamp"]))
    assert push == MessagePush(case["body"], encrypted=False)


def test_encrypted_push_vectors_are_accepted_or_refused(
    official: Any, encrypted_reader: MessagePushReader
) -> None:
    words = {"reject_appid": "app", "reject_signature": "sign"}
    for case in official["safe_post"]:
        body, now = json.dumps(case["body"]).encode(), int(case["query"]["timestamp"])
        if case["expect"] == "ok":
            push = encrypted_reader.open(case["query"], body, now)
            assert push == MessagePush(json.loads(case["plaintext"]), encrypted=True)
        else:
            assert refusal(encrypted_reader, case["query"], body, now) == words[case["expect"]]
    assert {case["expect"] for case in official["safe_post"]} >= {"ok", *words}


# ---- invalid pushes


def test_plain_push_is_refused_when_encryption_is_configured(
    official: Any, encrypted_reader: MessagePushReader
) -> None:
    case = official["plain_post"]
    now = int(case["query"]["timestamp"])
    assert (
        refusal(encrypted_reader, case["query"], json.dumps(case["body"]).encode(), now) == "plain"
    )
    for body in (b'{"Encrypt": 1}', b"{}"):
        assert refusal(encrypted_reader, {"encrypt_type": "aes"}, body) == "plain"


@pytest.mark.parametrize("seconds", [MAX_AGE_SECONDS + 1, -MAX_AGE_SECONDS - 1])
def test_push_outside_the_time_window_is_stale(
    encrypted_reader: MessagePushReader, encrypt: Callable[..., SignedPush], seconds: int
) -> None:
    pushed = encrypt(b"{}")
    assert refusal(encrypted_reader, *pushed, now=NOW + seconds) == "stale"
    just_fresh = NOW + seconds - (1 if seconds > 0 else -1)
    assert encrypted_reader.open(*pushed, just_fresh).content == {}


@pytest.mark.parametrize("timestamp", ["", "now", "-5", "1" * 13, "١٢٣"])
def test_invalid_timestamp_is_unreadable(
    official: Any, plain_reader: MessagePushReader, timestamp: str
) -> None:
    signature = sha1_signature(official["token"], timestamp)
    signed_query = {"timestamp": timestamp, "nonce": "nonce", "signature": signature}
    assert refusal(plain_reader, signed_query, b"{}") == "unreadable"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"\xff", b"<xml></xml>", b"[" * 50_000, b'{"a": "\\ud800"}']
)
def test_push_body_that_is_not_an_object_is_unreadable(
    plain_reader: MessagePushReader,
    encrypted_reader: MessagePushReader,
    encrypt: Callable[..., SignedPush],
    body: bytes,
) -> None:
    assert refusal(plain_reader, {}, body) == "unreadable"
    assert refusal(encrypted_reader, *encrypt(body)) == "unreadable"


def test_push_in_xml_is_unreadable_in_both_modes(
    official: Any, plain_reader: MessagePushReader, encrypted_reader: MessagePushReader
) -> None:
    plain, safe = official["plain_post"], official["safe_post"][0]
    event = b"<xml><Event><![CDATA[xpay_goods_deliver_notify]]></Event></xml>"
    now = int(plain["query"]["timestamp"])
    assert refusal(plain_reader, plain["query"], event, now) == "unreadable"
    encrypted = f"<xml><Encrypt><![CDATA[{safe['body']['Encrypt']}]]></Encrypt></xml>".encode()
    now = int(safe["query"]["timestamp"])
    assert refusal(encrypted_reader, safe["query"], encrypted, now) == "unreadable"


@pytest.mark.parametrize("ciphertext", ["", "?", "AAAA", base64.b64encode(bytes(64)).decode()])
def test_ciphertext_that_does_not_decrypt_is_unreadable(
    official: Any, encrypted_reader: MessagePushReader, ciphertext: str
) -> None:
    body = json.dumps({"Encrypt": ciphertext}).encode()
    assert refusal(encrypted_reader, query(official["token"], ciphertext), body) == "unreadable"


@pytest.mark.parametrize("length", [0, 1, 3, 2**32 - 1])
def test_wrong_length_field_is_refused_as_another_app(
    encrypted_reader: MessagePushReader, encrypt: Callable[..., SignedPush], length: int
) -> None:
    assert refusal(encrypted_reader, *encrypt(b"{}", length=length)) == "app"


def test_push_for_another_app_is_refused(
    encrypted_reader: MessagePushReader, encrypt: Callable[..., SignedPush]
) -> None:
    assert refusal(encrypted_reader, *encrypt(b"{}", app_id="wx0000000000000000")) == "app"


def test_push_is_refused_when_no_token_is_configured() -> None:
    signed_query = {"timestamp": str(NOW), "nonce": "nonce", "signature": sha1_signature("", NOW)}
    assert refusal(MessagePushReader("", "", "wx"), signed_query, b"{}") == "no_key"


@pytest.mark.parametrize("key", ["A" * 42, "A" * 44, "?" * 43])
def test_invalid_aes_key_is_refused_at_construction(key: str) -> None:
    with pytest.raises(ValueError, match=r"43 characters|base64|padding|characters"):
        MessagePushReader("t", key, "wx")


# ---- encrypted answers


def test_encrypted_reply_is_that_of_the_vector(
    official: Any, encrypted_reader: MessagePushReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = official["encrypted_reply"]
    monkeypatch.setattr("secrets.token_bytes", lambda _: case["random16"].encode())
    monkeypatch.setattr("secrets.token_hex", lambda _: case["nonce"])
    assert encrypted_reader.encrypt(case["plaintext"], case["timestamp"]) == {
        "Encrypt": case["Encrypt"],
        "MsgSignature": case["MsgSignature"],
        "TimeStamp": case["timestamp"],
        "Nonce": case["nonce"],
    }


def test_reply_is_read_by_the_simulated_wechat_unless_it_was_changed(
    official: Any, plain_reader: MessagePushReader, encrypted_reader: MessagePushReader
) -> None:
    wechat = SimulatedPushes(
        "", official["token"], official["encoding_aes_key"], official["appid"], lambda: NOW
    )
    reply = encrypted_reader.encrypt('{"result_code": 1}', NOW)
    assert reply
    assert wechat.open_reply(json.dumps(reply).encode()) == {"result_code": 1}
    assert wechat.open_reply(json.dumps({**reply, "Nonce": "1"}).encode()) is None
    assert wechat.open_reply(b'{"result_code": 1}') is None
    assert plain_reader.encrypt("{}", NOW) is None
