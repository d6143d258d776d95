import re
from dataclasses import replace
from hashlib import md5

import pytest

from tencent.live import LiveUrls


@pytest.fixture
def urls(vectors):
    known = vectors("css_live")["urls"]
    return LiveUrls(
        known["push_domain"], known["play_domain"], known["push_key"], known["play_key"], 86400
    )


def test_push_and_play_addresses_are_the_known_ones(urls, vectors):
    known = vectors("css_live")["urls"]
    assert urls.push(known["stream"], known["unix"] - 86400) == known["push_rtmp_upper"]
    assert urls.play(known["stream"], known["unix"]) == known["play_rtmp_lower"]


def test_the_digest_is_tencents_for_every_vector(vectors):
    cases = vectors("css_live")["txsecret"]
    assert len(cases) == 5
    for case in cases:
        now, upper = int(case["txTime"], 16), case["txTime"].isupper()
        urls = LiveUrls("push", "play", case["key"], case["key"], 0)
        url = urls.push(case["stream"], now) if upper else urls.play(case["stream"], now)
        assert url.endswith(f"?txSecret={case['txSecret']}&txTime={case['txTime']}")


def test_a_push_holds_for_its_seconds(urls):
    url = replace(urls, seconds=0x10).push("s", 0xABCDE0)
    assert url.endswith("&txTime=ABCDF0")
    assert md5(b"pushkey0123456789sABCDF0").hexdigest() in url


def test_without_a_key_addresses_are_plain(urls):
    plain = replace(urls, push_key="", play_key="")
    assert plain.push("s", 1) == "rtmp://push.example.com/live/s"
    assert plain.play("s", 1) == "rtmp://play.example.com/live/s"


def test_a_stream_is_new_for_every_sitting_and_safe_in_an_address(urls):
    names = {urls.new_stream("12345678") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"12345678_[0-9a-f]{16,}", name) for name in names)


def test_printed_settings_do_not_show_the_keys(urls):
    assert "pushkey" not in repr(urls)
    assert "playkey" not in repr(urls)
