"""Tencent Cloud's API: signatures, live streaming, FaceID, and the URLs of streams."""

import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from config.sections import AgeVerificationSettings, LiveStreamingSettings
from devtools.simulator.wire import SimulatorReply
from tencent.cloud_api import (
    PERMANENT_ERROR_CODES,
    STREAM_NOT_LIVE_CODES,
    URL_SECONDS,
    FaceIdClient,
    LiveStreamingClient,
    StreamUrls,
    tc3_signature,
)
from tencent.errors import CommandRejected, ServiceUnavailable

SUCCESS = {"Response": {"RequestId": "1"}}
NUMBER = "11010119900307002X"
KEY = {"secret_id": "AKIDTEST", "secret_key": "SECRETTEST"}


def failed(code):
    return {"Response": {"Error": {"Code": code, "Message": f"info {code}"}, "RequestId": "1"}}


@pytest.fixture
def client_at(make_service_client, clock):
    def build(url):
        live = LiveStreamingSettings(api_base=url, **KEY)
        return LiveStreamingClient(make_service_client("live", url), live, clock)

    return build


@pytest.fixture
def faceid_at(make_service_client):
    def build(url):
        settings = AgeVerificationSettings(api_base=url, **KEY)
        return FaceIdClient(make_service_client("faceid", url), settings)

    return build


# ---- signatures


def test_signatures_match_the_vectors_of_tencent(vectors):
    for case in vectors("tc3")["cases"]:
        headers = {
            "content-type": "application/json; charset=utf-8",
            "host": case["host"],
            "x-tc-action": case["action"].lower(),
        }
        signed = case["secret_key"], case["service"], case["timestamp"]
        assert tc3_signature(*signed, headers, case["payload"].encode()) == case["signature"]


async def test_the_simulator_answers_a_request_that_is_signed_with_its_host_alone(
    scripted, simulator
):
    css, service = scripted(SUCCESS)
    await css.drop("room_1")
    (request,) = service.requests
    covered = {"content-type": "application/json"}
    hostless = tc3_signature("SECRETTEST", "live", 1_700_000_000, covered, request.body)
    scope = request.header("Authorization").partition("SignedHeaders")[0]
    authorizations = ("", f"{scope}SignedHeaders=content-type, Signature={hostless}")
    for changed in (
        replace(request, body=request.body + b" "),
        *(
            replace(request, headers={**request.headers, "Authorization": text})
            for text in authorizations
        ),
    ):
        simulator.live_streaming.answer(changed)
        assert simulator.live_streaming.dropped == []
    simulator.live_streaming.answer(request)
    assert simulator.live_streaming.dropped == ["room_1"]


@pytest.mark.parametrize(
    ("settings", "age", "code"),
    [
        (KEY | {"secret_id": "OTHER"}, 0, "AuthFailure.SecretIdNotFound"),
        (KEY | {"secret_key": "OTHER"}, 0, "AuthFailure.SignatureFailure"),
        (KEY, 3600, "AuthFailure.SignatureExpire"),
    ],
    ids=["secret id", "secret key", "clock"],
)
async def test_wrong_secret_or_clock_is_a_temporary_failure_and_logged_without_secrets(
    sim_url, make_service_client, clock, caplog, settings, age, code
):
    url = f"{sim_url}/live"
    live = LiveStreamingSettings(api_base=url, **settings)
    css = LiveStreamingClient(make_service_client("live", url), live, lambda: clock.now + age)
    with caplog.at_level(logging.DEBUG), capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await css.drop("room_1")
    written = caplog.text + json.dumps(logs)
    assert code in written
    for secret in (*settings.values(), "Signature=", "TC3-HMAC"):
        assert secret not in written
    assert settings["secret_key"] not in repr(css)


# ---- streams


async def test_a_stream_is_dropped_or_forbidden_as_documented(scripted):
    until = datetime.fromtimestamp(1_700_000_600, UTC)
    css, service = scripted(SUCCESS)
    await css.drop("room_1")
    await css.forbid("room_1", until)
    stream = {"StreamName": "room_1", "DomainName": "push.example.com", "AppName": "live"}
    more = {"ResumeTime": "2023-11-14T22:23:20Z", "Reason": "moderation"}
    for request, action, content in zip(
        service.requests,
        ("DropLiveStream", "ForbidLiveStream"),
        (stream, stream | more),
        strict=True,
    ):
        assert (request.method, request.path) == ("POST", "/")  # relative to the base URL
        assert request.header("X-TC-Action") == action
        assert request.header("X-TC-Version") == "2018-08-01"
        assert json.loads(request.body) == content


async def test_an_unknown_stream_counts_as_dropped_and_permanent_errors_are_rejections(scripted):
    for code in STREAM_NOT_LIVE_CODES:
        css, _ = scripted(failed(code))
        await css.drop("room_1")
    for code in (*PERMANENT_ERROR_CODES, "InvalidParameter.InvalidStreamName"):
        css, service = scripted(failed(code))
        with pytest.raises(CommandRejected) as rejection:
            await css.drop("room_1")
        assert (rejection.value.code, str(rejection.value)) == (code, f"{code} info {code}")
        assert len(service.requests) == 1


async def test_temporary_and_unreadable_answers_raise_service_unavailable(scripted):
    for answer in (
        failed("InternalError.CallOtherSvrError"),
        failed("SomethingNew"),
        SimulatorReply(404, {}, json.dumps(SUCCESS).encode()),
        {"Response": {"Error": {}, "RequestId": "1"}},
        {},
        [],
    ):
        css, _ = scripted(answer)
        with pytest.raises(ServiceUnavailable) as failure:
            await css.drop("room_1")
        assert failure.value.code == "live_away"


def test_urls_are_those_of_the_vectors_and_unsigned_without_a_key(vectors):
    vector = vectors("css_live")["urls"]
    names = ("push_domain", "play_domain", "push_key", "play_key")
    settings, unix = LiveStreamingSettings(**{name: vector[name] for name in names}), vector["unix"]
    pushed = StreamUrls(settings, lambda: unix - 86400).push(vector["stream"])
    assert pushed == vector["push_rtmp_upper"]
    assert StreamUrls(settings, lambda: unix).play(vector["stream"]) == vector["play_rtmp_lower"]
    cases = vectors("css_live")["txsecret"]
    assert len(cases) == 5
    for case in cases:
        upper, stream = case["txTime"].isupper(), case["stream"]
        now = int(case["txTime"], 16) - (URL_SECONDS if upper else 0)
        settings = LiveStreamingSettings(push_key=case["key"], play_key=case["key"])
        own = StreamUrls(settings, lambda now=now: now)
        url = own.push(stream) if upper else own.play(stream)
        assert url.endswith(f"?txSecret={case['txSecret']}&txTime={case['txTime']}")
    plain = StreamUrls(LiveStreamingSettings())
    assert plain.push("s") == "rtmp://push.example.com/live/s"
    assert plain.play("s") == "rtmp://play.example.com/live/s"


def test_names_of_streams_are_unique_and_url_safe():
    urls = StreamUrls(LiveStreamingSettings())
    names = {urls.new_stream("12345678") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"12345678_[0-9a-f]{16,}", name) for name in names)


# ---- FaceID


async def test_the_request_is_as_documented_and_nothing_of_it_is_logged(
    scripted, faceid_at, caplog
):
    faceid, service = scripted({"Response": {"Result": "0"}}, at=faceid_at)
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        assert await faceid.is_match("张三", NUMBER)
    (request,) = service.requests
    assert json.loads(request.body) == {"IdCard": NUMBER, "Name": "张三"}
    assert "张三".encode() in request.body
    assert request.header("X-TC-Action") == "IdCardVerification"
    assert request.header("X-TC-Version") == "2018-03-01"
    assert "/faceid/tc3_request" in request.header("Authorization")
    assert not [word for word in ("张三", NUMBER) if word in f"{logs} {caplog.text}"]


async def test_other_people_s_names_and_unknown_numbers_do_not_match(scripted, faceid_at):
    for result in ("-1", "-2", "-3", "-5"):
        faceid, _ = scripted({"Response": {"Result": result}}, at=faceid_at)
        assert not await faceid.is_match("张三", NUMBER)


@pytest.mark.parametrize(
    "answer",
    [
        *({"Result": result} for result in ("-4", "-6", "-7", "-99")),
        {},
        {"Error": {"Code": "UnauthorizedOperation.Arrears", "Message": "no money"}},
    ],
)
async def test_without_a_verdict_the_service_is_unavailable(scripted, faceid_at, answer):
    faceid, _ = scripted({"Response": answer}, at=faceid_at)
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as error:
        await faceid.is_match("张三", NUMBER)
    assert error.value.code == "faceid_away"
    warned = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert warned == ["identity_not_checked"]
