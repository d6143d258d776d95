import json
from pathlib import Path
from typing import Any

import pytest

from config.sections import UploadsSettings
from devtools.simulator.cos import SimulatedCos
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tests.support.paths import ROOT

VECTORS = json.loads((ROOT / "tests/vectors/cos.json").read_text())
KEYS = VECTORS["keys"]
CASES = VECTORS["post"]["cases"]


def post(case: dict[str, Any], folder: Path) -> SimulatorReply:
    """Post a form of the vectors to a bucket of its keys, at its time."""
    cos = SimulatedCos(UploadsSettings(**KEYS), folder, lambda: case["now"])
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in case["fields"]
    ]
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = b"".join(parts) + head + b"x" * case["file_size"] + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return cos.answer(SimulatorRequest("POST", "/cos/", {}, headers, body))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_form_is_stored_only_if_it_keeps_to_its_policy(
    case: dict[str, Any], tmp_path: Path
) -> None:
    reply = post(case, tmp_path)
    code = reply.body.decode().partition("<Code>")[2].partition("</Code>")[0]
    expected = case.get("expect_status"), case.get("expect_code") or ""
    assert (reply.status, code) == expected
    assert any(tmp_path.iterdir()) == (reply.status < 300)
