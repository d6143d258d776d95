import base64
import hashlib
import json

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from hypothesis import given
from hypothesis import strategies as st

from tencent.errors import InvalidEncryptedData
from tencent.wechat import WechatProfile, decrypt_profile, parse_profile

KEY, IV, APP = base64.b64encode(b"k" * 16).decode(), base64.b64encode(b"i" * 16).decode(), "wx1"


def encrypt(plain: bytes, *, padded: bool = True) -> str:
    data = pad(plain, 16) if padded else plain
    return base64.b64encode(AES.new(b"k" * 16, AES.MODE_CBC, b"i" * 16).encrypt(data)).decode()


def with_watermark(**content: object) -> bytes:
    return json.dumps({**content, "watermark": {"appid": APP}}).encode()


@pytest.fixture
def cases(vectors):
    return vectors("wechat_login")["decrypt"]


def decrypt_case(case):
    return decrypt_profile(case["session_key"], case["encryptedData"], case["iv"], case["appid"])


def test_valid_vectors_decrypt(cases):
    valid = [case for case in cases if case["expect"] == "ok"]
    assert len(valid) == 3
    for case in valid:
        assert decrypt_case(case) == json.loads(case["plaintext"])


def test_official_sample_decrypts_to_the_official_text(cases):
    data = decrypt_case(cases[0])
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == cases[0]["plaintext_sha256"]
    assert (data["nickName"], data["gender"]) == ("Band", 1)


def test_invalid_vectors_are_refused(cases):
    invalid = [case for case in cases if case["expect"] != "ok"]
    assert len(invalid) == 5  # among them the official sample with the misprinted IV
    for case in invalid:
        with pytest.raises(InvalidEncryptedData):
            decrypt_case(case)


def test_line_breaks_and_spaces_in_base64_are_repaired(cases):
    case = dict(cases[0])
    data = case["encryptedData"]
    assert "+" in data
    wrapped = "\r\n  ".join(data[at : at + 76] for at in range(0, len(data), 76)) + "\n"
    for text in (wrapped, data.replace("+", " "), f" {data} ", f"\t{data}"):
        assert decrypt_case({**case, "encryptedData": text}) == decrypt_case(case)
    assert decrypt_case({**case, "iv": case["iv"] + "\n"}) == decrypt_case(case)


def test_leading_plus_decoded_as_a_space_is_repaired():
    for number in range(1000):
        data = encrypt(with_watermark(n=number))
        if data.startswith("+"):
            break
    assert data.startswith("+")
    assert decrypt_profile(KEY, " " + data[1:], IV, APP)["n"] == number


@pytest.mark.parametrize(
    "data",
    [
        "",
        "=",
        "not base64!",
        "!" + encrypt(with_watermark()),
        "é",
        encrypt(b""),
        encrypt(b"no json"),
        encrypt(b"[1]"),
        encrypt(b'"text"'),
        encrypt(b"{}"),
        encrypt(b'{"watermark": 1}'),
        encrypt(b'{"watermark": {"appid": "wx2"}}'),
        encrypt(b'{"watermark": {"appid": ["wx1"]}}'),
        encrypt(with_watermark() + b"\xff"),
        encrypt(b"[" * 100_000),
        encrypt(with_watermark().ljust(63) + b"\x00", padded=False),
        encrypt(with_watermark().ljust(62) + b"\x01\x02", padded=False),
        encrypt(with_watermark().ljust(63) + b"\x11", padded=False),
    ],
)
def test_invalid_ciphertext_or_content_is_refused(data):
    with pytest.raises(InvalidEncryptedData):
        decrypt_profile(KEY, data, IV, APP)


@pytest.mark.parametrize("wrong_length", ["", "AAAA", base64.b64encode(b"x" * 32).decode()])
def test_key_or_iv_of_wrong_length_is_refused(wrong_length):
    valid = encrypt(with_watermark())
    assert decrypt_profile(KEY, valid, IV, APP)
    with pytest.raises(InvalidEncryptedData):
        decrypt_profile(wrong_length, valid, IV, APP)
    with pytest.raises(InvalidEncryptedData):
        decrypt_profile(KEY, valid, wrong_length, APP)


@given(st.text(), st.text(), st.text())
def test_arbitrary_text_raises_invalid_encrypted_data_only(key, data, iv):
    with pytest.raises(InvalidEncryptedData):
        decrypt_profile(key, data, iv, APP)


@given(st.binary(max_size=200))
def test_arbitrary_plaintext_raises_invalid_encrypted_data_only(plain):
    with pytest.raises(InvalidEncryptedData):
        decrypt_profile(KEY, encrypt(plain), IV, APP)


def test_complete_profile_is_parsed():
    data = {"openId": "o1", "nickName": " 小红 ", "gender": 2, "avatarUrl": "https://a/b"}
    assert parse_profile(data) == WechatProfile("o1", "小红", 2, "https://a/b")


def test_anonymised_profile_is_parsed_as_unset_fields(cases):
    modern = next(case for case in cases if "anonymised" in case["name"])
    assert parse_profile(decrypt_case(modern)) == WechatProfile(None, "", 0, "")


@pytest.mark.parametrize("gender", [0, 3, -1, "1", None, True, 1.0, [1]])
def test_gender_other_than_1_or_2_is_unset(gender):
    assert parse_profile({"gender": gender}).gender == 0


@pytest.mark.parametrize(
    "avatar_url", ["", "ftp://a", "javascript:x", None, 5, "https://" + "a" * 512]
)
def test_avatar_url_that_is_not_https_or_too_long_is_unset(avatar_url):
    assert parse_profile({"nickName": "a", "avatarUrl": avatar_url}) == WechatProfile(
        None, "a", 0, ""
    )
