import json
import logging
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from config.sections import AgeVerificationSettings
from tencent.cloud_api import FaceIdClient
from tencent.errors import ServiceUnavailable

NUMBER = "11010119900307002X"


@pytest.fixture
def client_at(make_service_client, clock):
    def build(url):
        key = {"secret_id": "AKIDTEST", "secret_key": "SECRETTEST"}
        return FaceIdClient(
            make_service_client("faceid", url), AgeVerificationSettings(api_base=url, **key), clock
        )

    return build


async def test_the_request_is_as_documented_and_nothing_of_it_is_logged(scripted, caplog):
    faceid, service = scripted({"Response": {"Result": "0", "RequestId": "1"}})
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        assert await faceid.is_match("张三", NUMBER)
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/")
    assert json.loads(request.body) == {"IdCard": NUMBER, "Name": "张三"}
    assert "张三".encode() in request.body
    assert request.header("X-TC-Action") == "IdCardVerification"
    assert request.header("X-TC-Version") == "2018-03-01"
    assert "/faceid/tc3_request" in request.header("Authorization")
    assert not [word for word in ("张三", NUMBER) if word in f"{logs} {caplog.text}"]


@pytest.mark.parametrize("result", ["-1", "-2", "-3", "-5"])
async def test_other_people_s_names_and_unknown_numbers_do_not_match(scripted, result):
    faceid, _ = scripted({"Response": {"Result": result, "RequestId": "1"}})
    assert not await faceid.is_match("张三", NUMBER)


@pytest.mark.parametrize(
    "answer",
    [
        *({"Result": result} for result in ("-4", "-6", "-7", "-99")),
        {},
        {"Error": {"Code": "UnauthorizedOperation.Arrears", "Message": "no money"}},
    ],
)
async def test_without_a_verdict_the_service_is_unavailable(scripted, answer):
    faceid, _ = scripted({"Response": answer})
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as error:
        await faceid.is_match("张三", NUMBER)
    assert error.value.code == "faceid_away"
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "identity_not_checked"
    ]


async def test_the_simulator_answers_by_name_and_to_signed_requests_alone(
    sim_url, client_at, scripted, simulator
):
    faceid = client_at(f"{sim_url}/faceid")
    assert await faceid.is_match("张三", NUMBER)
    assert not await faceid.is_match("别人", NUMBER)
    with pytest.raises(ServiceUnavailable):
        await faceid.is_match("忙", NUMBER)
    recording, service = scripted({"Response": {"Result": "0"}})
    await recording.is_match("张三", NUMBER)
    (request,) = service.requests
    other = {name: value for name, value in request.headers.items() if name != "X-Tc-Action"}
    for changed, code in (
        (replace(request, body=request.body + b" "), b"AuthFailure.SignatureFailure"),
        (replace(request, headers=other), b"InvalidAction"),
    ):
        answer = await simulator.answer(replace(changed, path="/faceid/"))
        assert code in answer.body
