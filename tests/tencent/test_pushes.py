import base64
import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from tencent.pushes import FRESH_SECONDS, NotProven, Push, Pushes

NOW = 1_714_112_445
Sealed = tuple[dict[str, str], bytes]


@pytest.fixture
def official(vectors: Any) -> Any:
    return vectors("message_push")


@pytest.fixture
def plain(official: Any) -> Pushes:
    return Pushes(official["token"], "", official["appid"])


@pytest.fixture
def safe(official: Any) -> Pushes:
    return Pushes(official["token"], official["encoding_aes_key"], official["appid"])


def signed(token: str, stamp: int | str, *more: str) -> str:
    parts = sorted([token, str(stamp), "nonce", *more])
    return hashlib.sha1("".join(parts).encode()).hexdigest()


@pytest.fixture
def seal(official: Any) -> Callable[..., Sealed]:
    """A push as WeChat seals it, but for what a test wants to be otherwise."""

    def make(message: bytes, app_id: str = "", length: int | None = None) -> Sealed:
        key = base64.b64decode(official["encoding_aes_key"] + "=")
        size = struct.pack(">I", len(message) if length is None else length)
        text = bytes(16) + size + message + (app_id or official["appid"]).encode()
        cipher = AES.new(key, AES.MODE_CBC, iv=key[:16])
        encrypt = base64.b64encode(cipher.encrypt(pad(text, 32))).decode()
        return query(official["token"], encrypt), json.dumps({"Encrypt": encrypt}).encode()

    return make


def query(token: str, encrypt: str) -> dict[str, str]:
    signature = signed(token, NOW, encrypt)
    return {
        "timestamp": str(NOW),
        "nonce": "nonce",
        "encrypt_type": "aes",
        "msg_signature": signature,
    }


def refusal(pushes: Pushes, query: dict[str, str], body: bytes, now: float = NOW) -> str:
    with pytest.raises(NotProven) as refused:
        pushes.open(query, body, now)
    return str(refused.value)


# ---- WeChat's own


def test_the_check_of_the_address_is_echoed(official: Any, plain: Pushes, safe: Pushes) -> None:
    check = official["get_verify"]
    for pushes in (plain, safe):
        assert pushes.echo(check, int(check["timestamp"])) == check["expect_body"]
        with pytest.raises(NotProven, match="sign"):
            pushes.echo({**check, "nonce": "1"}, int(check["timestamp"]))


def test_a_plain_push_is_opened_and_proves_little(official: Any, plain: Pushes) -> None:
    case = official["plain_post"]
    body = json.dumps(case["body"]).encode()
    push = plain.open(case["query"], body, int(case["query"]["timestamp"]))
    assert push == Push(case["body"], sealed=False)


def test_sealed_pushes_are_judged_as_wechat_judges_them(official: Any, safe: Pushes) -> None:
    words = {"reject_appid": "app", "reject_signature": "sign"}
    for case in official["safe_post"]:
        body, now = json.dumps(case["body"]).encode(), int(case["query"]["timestamp"])
        if case["expect"] == "ok":
            push = safe.open(case["query"], body, now)
            assert push == Push(json.loads(case["plaintext"]), sealed=True)
        else:
            assert refusal(safe, case["query"], body, now) == words[case["expect"]]
    assert {case["expect"] for case in official["safe_post"]} >= {"ok", *words}


# ---- whatever else comes


def test_what_comes_plain_is_refused_where_it_should_be_sealed(official: Any, safe: Pushes) -> None:
    case = official["plain_post"]
    now = int(case["query"]["timestamp"])
    assert refusal(safe, case["query"], json.dumps(case["body"]).encode(), now) == "plain"
    for body in (b'{"Encrypt": 1}', b"{}"):
        assert refusal(safe, {"encrypt_type": "aes"}, body) == "plain"


@pytest.mark.parametrize("seconds", [FRESH_SECONDS + 1, -FRESH_SECONDS - 1])
def test_what_is_old_or_from_the_future_is_stale(
    safe: Pushes, seal: Callable[..., Sealed], seconds: int
) -> None:
    sealed = seal(b"{}")
    assert refusal(safe, *sealed, now=NOW + seconds) == "stale"
    nearly = NOW + seconds - (1 if seconds > 0 else -1)
    assert safe.open(*sealed, nearly).content == {}


@pytest.mark.parametrize("stamp", ["", "now", "-5", "1" * 13, "١٢٣"])
def test_a_time_that_is_none_is_unreadable(official: Any, plain: Pushes, stamp: str) -> None:
    signature = signed(official["token"], stamp)
    asked = {"timestamp": stamp, "nonce": "nonce", "signature": signature}
    assert refusal(plain, asked, b"{}") == "unreadable"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"\xff", b"<xml></xml>", b"[" * 50_000, b'{"a": "\\ud800"}']
)
def test_a_body_that_is_no_object_is_unreadable(
    plain: Pushes, safe: Pushes, seal: Callable[..., Sealed], body: bytes
) -> None:
    assert refusal(plain, {}, body) == "unreadable"
    assert refusal(safe, *seal(body)) == "unreadable"


@pytest.mark.parametrize("encrypt", ["", "?", "AAAA", base64.b64encode(bytes(64)).decode()])
def test_what_does_not_open_is_unreadable(official: Any, safe: Pushes, encrypt: str) -> None:
    body = json.dumps({"Encrypt": encrypt}).encode()
    assert refusal(safe, query(official["token"], encrypt), body) == "unreadable"


@pytest.mark.parametrize("length", [0, 1, 3, 2**32 - 1])
def test_a_length_that_is_wrong_is_not_for_this_app(
    safe: Pushes, seal: Callable[..., Sealed], length: int
) -> None:
    assert refusal(safe, *seal(b"{}", length=length)) == "app"


def test_another_app_is_refused(safe: Pushes, seal: Callable[..., Sealed]) -> None:
    assert refusal(safe, *seal(b"{}", app_id="wx0000000000000000")) == "app"


def test_without_a_token_nothing_is_proven() -> None:
    asked = {"timestamp": str(NOW), "nonce": "nonce", "signature": signed("", NOW)}
    assert refusal(Pushes("", "", "wx"), asked, b"{}") == "no_key"


@pytest.mark.parametrize("key", ["A" * 42, "A" * 44, "?" * 43])
def test_a_key_that_is_none_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ValueError, match=r"43 characters|base64|padding|characters"):
        Pushes("t", key, "wx")
