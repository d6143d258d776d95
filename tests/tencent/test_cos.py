import base64
import json
from typing import Any

import pytest

from config.sections import UploadsSettings
from tencent.cos import CosClient, policy_signature, request_authorization


def settings_of(keys: dict[str, str]) -> UploadsSettings:
    names = ("secret_id", "secret_key", "bucket", "region")
    return UploadsSettings(**{name: keys[name] for name in names if name in keys})


def test_requests_are_signed_as_in_the_vectors(vectors: Any) -> None:
    found = vectors("cos")
    cases = [(found["official"], case) for case in found["official"]["requests"]]
    cases += [(found["keys"], case) for case in found["requests"]]
    assert len(cases) >= 5
    assert any(case["params"] for _, case in cases)
    for keys, case in cases:
        authorization = request_authorization(
            case["method"],
            case["path"],
            case["headers"],
            settings_of(keys),
            case["key_time"],
            case["params"],
        )
        assert authorization == case["authorization"]


@pytest.mark.parametrize("name", ["official_demo", "qlive"])
def test_policies_are_signed_as_in_the_vectors(vectors: Any, name: str) -> None:
    keys, case = vectors("cos")["keys"], vectors("cos")["post"][name]
    signature = policy_signature(case["policy"], keys["secret_key"], case["key_time"])
    assert signature == case["signature"]


def test_every_field_of_a_form_has_a_condition(vectors: Any, make_service_client: Any) -> None:
    uploads = settings_of(vectors("cos")["keys"])
    cos = CosClient(make_service_client("cos", uploads.endpoint), uploads, lambda: 1_700_000_000)
    form = cos.upload_form("uploads/face/1.jpg", "image/jpeg", 1000)
    policy = json.loads(base64.b64decode(form["policy"]))
    assert policy["expiration"] == "2023-11-14T22:23:20.000Z"
    sent = form.keys() - {"policy", "q-signature", "q-key-time"}
    *pairs, size, time = policy["conditions"]
    assert pairs == [
        {"bucket": uploads.bucket},
        *({name: form[name]} for name in form if name in sent),
    ]
    assert size == ["content-length-range", 1, 1000]
    assert time == {"q-sign-time": form["q-key-time"]} == {"q-sign-time": "1699999940;1700000600"}
    assert uploads.endpoint == "https://qlive-test-1250000000.cos.ap-guangzhou.myqcloud.com"
