import asyncio
import json
import logging
import re
from hashlib import md5

import pytest
from structlog.testing import capture_logs

from config.sections import LiveSettings
from tencent.css import (
    PERMANENT_ERROR_CODES,
    STREAM_NOT_LIVE_CODES,
    URL_SECONDS,
    CssClient,
    StreamUrls,
    tc3_signature,
)
from tencent.errors import CssRejected, ServiceUnavailable

SUCCESS = {"Response": {"RequestId": "1"}}


def failed(code):
    return {"Response": {"Error": {"Code": code, "Message": f"info {code}"}, "RequestId": "1"}}


@pytest.fixture
def css_at(make_service_client, clock):
    def build(url):
        live = LiveSettings(api_base=url, secret_id="AKIDTEST", secret_key="SECRETTEST")
        return CssClient(make_service_client("live", url), live, clock)

    return build


@pytest.fixture
def css(sim_url, css_at):
    return css_at(f"{sim_url}/live")


@pytest.fixture
def scripted(serve, scripted_service, css_at):
    def build(answer):
        service = scripted_service(answer)
        return css_at(serve(service)), service

    return build


# ---- dropping streams


@pytest.mark.parametrize("number", [0, 1])
def test_signature_matches_the_vectors_of_tencent(vectors, number):
    case = vectors("tc3")["cases"][number]
    headers = {
        "content-type": "application/json; charset=utf-8",
        "host": case["host"],
        "x-tc-action": case["action"].lower(),
    }
    signature = tc3_signature(
        case["secret_key"], case["service"], case["timestamp"], headers, case["payload"].encode()
    )
    assert signature == case["signature"]


async def test_concurrent_and_repeated_drops_all_succeed(css, simulator):
    names = [f"room_{number}" for number in (*range(20), 0)]
    await asyncio.gather(*(css.drop(name) for name in names))
    assert sorted(simulator.live.dropped) == sorted(names)
    outcomes = {(entry["service"], entry["outcome"]) for entry in simulator.log}
    assert outcomes == {("live", "ok")}


async def test_drop_request_is_as_documented_and_signs_the_root_path(scripted):
    css, service = scripted(SUCCESS)
    await css.drop("room_1")
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/")  # relative to the base URL
    assert json.loads(request.body) == {
        "StreamName": "room_1",
        "DomainName": "push.example.com",
        "AppName": "live",
    }
    assert request.header("X-TC-Action") == "DropLiveStream"
    assert request.header("X-TC-Version") == "2018-08-01"
    headers = {name: request.header(name) for name in ("content-type", "host")}
    timestamp = int(request.header("X-TC-Timestamp"))
    expected = tc3_signature("SECRETTEST", "live", timestamp, headers, request.body)
    assert request.header("Authorization").endswith(expected)


@pytest.mark.parametrize("code", sorted(STREAM_NOT_LIVE_CODES))
async def test_unknown_stream_counts_as_dropped(scripted, code):
    css, service = scripted(failed(code))
    await css.drop("room_1")
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [*PERMANENT_ERROR_CODES, "InvalidParameter.InvalidStreamName"])
async def test_permanent_error_codes_raise_css_rejected(scripted, code):
    css, service = scripted(failed(code))
    with pytest.raises(CssRejected) as rejection:
        await css.drop("room_1")
    assert (rejection.value.code, str(rejection.value)) == (code, f"{code} info {code}")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        failed("InternalError.CallOtherSvrError"),
        failed("FailedOperation"),
        failed("RequestLimitExceeded"),
        failed("SomethingNew"),
        {"Response": {"Error": {}, "RequestId": "1"}},
        {},
        [],
        "nonsense",
    ],
)
async def test_temporary_and_unreadable_answers_raise_service_unavailable(scripted, answer):
    css, _ = scripted(answer)
    with pytest.raises(ServiceUnavailable) as failure:
        await css.drop("room_1")
    assert failure.value.code == "live_away"


@pytest.mark.parametrize("status", [302, 404, 503])
async def test_http_status_other_than_200_is_unavailable(css, simulator, status):
    simulator.outage["live"] = status
    with pytest.raises(ServiceUnavailable):
        await css.drop("room_1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"_secret_id": "OTHER"}, "AuthFailure.SecretIdNotFound"),
        ({"_secret_key": "OTHER"}, "AuthFailure.SignatureFailure"),
        ({"_now": lambda: 1_700_003_600}, "AuthFailure.SignatureExpire"),
    ],
    ids=["secret id", "secret key", "clock"],
)
async def test_wrong_secret_or_clock_is_a_temporary_failure_and_logged_without_secrets(
    css, simulator, caplog, change, code
):
    vars(simulator.live).update(change)
    with caplog.at_level(logging.DEBUG), capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    written = caplog.text + json.dumps(logs)
    assert code in written
    for secret in ("AKIDTEST", "SECRETTEST", "Signature=", "TC3-HMAC"):
        assert secret not in written
    assert "SECRETTEST" not in repr(css)


# ---- URLs of streams


@pytest.fixture
def urls(vectors):
    vector = vectors("css_live")["urls"]
    names = ("push_domain", "play_domain", "push_key", "play_key")
    return StreamUrls(LiveSettings(**{name: vector[name] for name in names}))


def test_url_vectors_match(urls, vectors):
    vector = vectors("css_live")["urls"]
    assert urls.push(vector["stream"], vector["unix"] - 86400) == vector["push_rtmp_upper"]
    assert urls.play(vector["stream"], vector["unix"]) == vector["play_rtmp_lower"]
    cases = vectors("css_live")["txsecret"]
    assert len(cases) == 5
    for case in cases:
        now, upper = int(case["txTime"], 16), case["txTime"].isupper()
        own = StreamUrls(LiveSettings(push_key=case["key"], play_key=case["key"]))
        stream = case["stream"]
        url = own.push(stream, now - URL_SECONDS) if upper else own.play(stream, now)
        assert url.endswith(f"?txSecret={case['txSecret']}&txTime={case['txTime']}")


def test_push_url_expires_after_a_day(urls):
    url = urls.push("s", 0xABCDF0 - 86_400)
    assert url.endswith("&txTime=ABCDF0")
    assert md5(b"pushkey0123456789sABCDF0").hexdigest() in url


def test_urls_without_a_key_are_unsigned():
    plain = StreamUrls(LiveSettings())
    assert plain.push("s", 1) == "rtmp://push.example.com/live/s"
    assert plain.play("s", 1) == "rtmp://play.example.com/live/s"


def test_names_of_streams_are_unique_and_url_safe(urls):
    names = {urls.new_stream("12345678") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"12345678_[0-9a-f]{16,}", name) for name in names)
