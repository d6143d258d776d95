import base64
import hashlib
import json

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from hypothesis import given
from hypothesis import strategies as st

from rooms.refusals import BadEncryptedData
from tencent.userdata import Profile, decrypt, profile

KEY, IV, APP = base64.b64encode(b"k" * 16).decode(), base64.b64encode(b"i" * 16).decode(), "wx1"


def sealed(plain: bytes, *, padded: bool = True) -> str:
    data = pad(plain, 16) if padded else plain
    return base64.b64encode(AES.new(b"k" * 16, AES.MODE_CBC, b"i" * 16).encrypt(data)).decode()


def marked(**content: object) -> bytes:
    return json.dumps({**content, "watermark": {"appid": APP}}).encode()


@pytest.fixture
def cases(vectors):
    return vectors("wechat_login")["decrypt"]


def opened(case):
    return decrypt(case["session_key"], case["encryptedData"], case["iv"], case["appid"])


def test_every_good_vector_opens(cases):
    good = [case for case in cases if case["expect"] == "ok"]
    assert len(good) == 3
    for case in good:
        assert opened(case) == json.loads(case["plaintext"])


def test_the_official_sample_opens_to_the_official_text(cases):
    data = opened(cases[0])
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == cases[0]["plaintext_sha256"]
    assert (data["nickName"], data["gender"]) == ("Band", 1)


def test_every_bad_vector_is_refused(cases):
    bad = [case for case in cases if case["expect"] != "ok"]
    assert len(bad) == 5  # among them the official sample with the misprinted IV
    for case in bad:
        with pytest.raises(BadEncryptedData):
            opened(case)


def test_wrapped_lines_and_spaces_for_plus_are_repaired(cases):
    case = dict(cases[0])
    data = case["encryptedData"]
    assert "+" in data
    wrapped = "\r\n  ".join(data[at : at + 76] for at in range(0, len(data), 76)) + "\n"
    for text in (wrapped, data.replace("+", " "), f" {data} ", f"\t{data}"):
        assert opened({**case, "encryptedData": text}) == opened(case)
    assert opened({**case, "iv": case["iv"] + "\n"}) == opened(case)


def test_a_leading_plus_that_became_a_space_is_kept():
    for number in range(1000):
        data = sealed(marked(n=number))
        if data.startswith("+"):
            break
    assert data.startswith("+")
    assert decrypt(KEY, " " + data[1:], IV, APP)["n"] == number


@pytest.mark.parametrize(
    "data",
    [
        "",
        "=",
        "not base64!",
        "!" + sealed(marked()),
        "é",
        sealed(b""),
        sealed(b"no json"),
        sealed(b"[1]"),
        sealed(b'"text"'),
        sealed(b"{}"),
        sealed(b'{"watermark": 1}'),
        sealed(b'{"watermark": {"appid": "wx2"}}'),
        sealed(b'{"watermark": {"appid": ["wx1"]}}'),
        sealed(marked() + b"\xff"),
        sealed(b"[" * 100_000),
        sealed(marked().ljust(63) + b"\x00", padded=False),
        sealed(marked().ljust(62) + b"\x01\x02", padded=False),
        sealed(marked().ljust(63) + b"\x11", padded=False),
    ],
)
def test_whatever_is_wrong_inside_is_refused(data):
    with pytest.raises(BadEncryptedData):
        decrypt(KEY, data, IV, APP)


@pytest.mark.parametrize("short", ["", "AAAA", base64.b64encode(b"x" * 32).decode()])
def test_a_key_or_iv_of_another_length_is_refused(short):
    good = sealed(marked())
    assert decrypt(KEY, good, IV, APP)
    with pytest.raises(BadEncryptedData):
        decrypt(short, good, IV, APP)
    with pytest.raises(BadEncryptedData):
        decrypt(KEY, good, short, APP)


@given(st.text(), st.text(), st.text())
def test_no_text_raises_anything_else(key, data, iv):
    with pytest.raises(BadEncryptedData):
        decrypt(key, data, iv, APP)


@given(st.binary(max_size=200))
def test_no_bytes_under_the_right_key_raise_anything_else(plain):
    with pytest.raises(BadEncryptedData):
        decrypt(KEY, sealed(plain), IV, APP)


def test_a_full_profile_is_read():
    data = {"openId": "o1", "nickName": " 小红 ", "gender": 2, "avatarUrl": "https://a/b"}
    assert profile(data) == Profile("o1", "小红", 2, "https://a/b")


def test_todays_placeholder_is_nothing_set(cases):
    modern = next(case for case in cases if "anonymised" in case["name"])
    assert profile(opened(modern)) == Profile(None, "", 0, "")


@pytest.mark.parametrize("gender", [0, 3, -1, "1", None, True, 1.0, [1]])
def test_a_gender_that_is_not_1_or_2_is_not_set(gender):
    assert profile({"gender": gender}).gender == 0


@pytest.mark.parametrize("face", ["", "ftp://a", "javascript:x", None, 5, "https://" + "a" * 512])
def test_a_face_that_is_no_web_address_is_not_set(face):
    assert profile({"nickName": "a", "avatarUrl": face}) == Profile(None, "a", 0, "")
