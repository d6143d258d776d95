import re
from hashlib import md5

import pytest

from config.sections import LiveSettings
from tencent.css import URL_SECONDS, StreamUrls


@pytest.fixture
def urls(vectors):
    vector = vectors("css_live")["urls"]
    names = ("push_domain", "play_domain", "push_key", "play_key")
    return StreamUrls(LiveSettings(**{name: vector[name] for name in names}))


def test_push_and_play_url_vectors_match(urls, vectors):
    vector = vectors("css_live")["urls"]
    assert urls.push(vector["stream"], vector["unix"] - 86400) == vector["push_rtmp_upper"]
    assert urls.play(vector["stream"], vector["unix"]) == vector["play_rtmp_lower"]


def test_tx_secret_vectors_match(vectors):
    cases = vectors("css_live")["txsecret"]
    assert len(cases) == 5
    for case in cases:
        now, upper = int(case["txTime"], 16), case["txTime"].isupper()
        urls = StreamUrls(LiveSettings(push_key=case["key"], play_key=case["key"]))
        stream = case["stream"]
        url = urls.push(stream, now - URL_SECONDS) if upper else urls.play(stream, now)
        assert url.endswith(f"?txSecret={case['txSecret']}&txTime={case['txTime']}")


def test_push_url_expires_after_a_day(urls):
    url = urls.push("s", 0xABCDF0 - 86_400)
    assert url.endswith("&txTime=ABCDF0")
    assert md5(b"pushkey0123456789sABCDF0").hexdigest() in url


def test_urls_without_a_key_are_unsigned():
    plain = StreamUrls(LiveSettings())
    assert plain.push("s", 1) == "rtmp://push.example.com/live/s"
    assert plain.play("s", 1) == "rtmp://play.example.com/live/s"


def test_stream_names_are_unique_and_url_safe(urls):
    names = {urls.new_stream("12345678") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"12345678_[0-9a-f]{16,}", name) for name in names)
