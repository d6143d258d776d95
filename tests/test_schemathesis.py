"""Schemathesis calls a server with valid and invalid requests from its OpenAPI document.

The seed is fixed, so that runs of the same code find the same.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.hypothesis_profiles import LONG_PROFILE

pytestmark = pytest.mark.programs

SEED = "20261125"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "ignored_auth",
)
"""Not negative_data_rejection: numbers may be strings, unknown fields are ignored. Not
positive_data_acceptance: a user without gold, banned or not on mic is refused with valid data. Not
unsupported_method: tests/handlers/test_bad_input.py tests unexpected methods."""
LIMITS = "all" if LONG_PROFILE else "positive"
"""Which limits of each parameter are tried: the valid ones, or those just beyond them, too."""
INVALID_EXAMPLES = 35 if LONG_PROFILE else 2
"""Random invalid requests per operation, beside the documented examples and the limits."""

CONFIG = f"""
[phases.coverage]
generation.mode = "{LIMITS}"

[phases.fuzzing]
generation.mode = "negative"

[[operations]]
exclude-tag = ["operators", "simulator", "rooms", "mic"]
headers = {{ Authorization = "QLiveToken ${{GUEST}}" }}

[[operations]]
include-operation-id = "mic.ApplyMicro.post"
headers = {{ Authorization = "QLiveToken ${{GUEST}}" }}

[[operations]]
include-tag = ["rooms", "mic"]
exclude-operation-id = "mic.ApplyMicro.post"
headers = {{ Authorization = "QLiveToken ${{HOST}}" }}

[[operations]]
include-tag = ["operators", "simulator"]
headers = {{ Authorization = "Bearer ${{OPERATOR}}" }}
"""
"""Each operation is called by a user with the right to it: the host does not apply for the mic."""

UNKNOWN_USER = "00000000"


class Ids(NamedTuple):
    """The ids with which some operations are called."""

    users: Sequence[str]
    rooms: Sequence[int]


@pytest.mark.gen_test(timeout=300)
async def test_api_conforms_to_its_document(api: ApiFixture, tmp_path: Path) -> None:
    host, other_host = await api.host(), await api.host("other")
    guest = await api.guest("bert", 1, host.live_id, gold=100_000)
    other = await api.guest("anna", 2, host.live_id)
    third = await api.guest("carl", 1, other_host.live_id, gold=100)
    document = _narrowed(
        Ids([host.id, guest.id, other.id, UNKNOWN_USER], [host.live_id, 77]),
        Ids([other_host.id, third.id, UNKNOWN_USER], [other_host.live_id, 77]),
    )
    tokens = {
        "GUEST": guest.token,
        "HOST": host.token,
        "OPERATOR": await api.operator_token(),
    }
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    schemathesis = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json"),
        *(f"--url={api.address}", f"--seed={SEED}"),
        *(f"--checks={','.join(CHECKS)}", "--phases=examples,coverage,fuzzing"),
        f"--max-examples={INVALID_EXAMPLES}",
        *("--suppress-health-check=all", "--warnings=off", "--no-color", "--no-shrink"),
        "--continue-on-failure",
        "--exclude-operation-id=users.Logout.get",  # all requests after it would be 401
        "--exclude-operation-id=socket.RoomSocket.get",  # needs a WebSocket client
        cwd=tmp_path,
        env={**os.environ, **tokens},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await schemathesis.communicate()
    assert schemathesis.returncode == 0, report.decode()


def _narrowed(ids: Ids, ids_of_operators: Ids) -> dict[str, Any]:
    """The OpenAPI document with only these ids; random ids would rarely exist.

    Operators end rooms and sessions, and do so to others than those that call the server.
    """
    whole: dict[str, Any] = json.loads(json.dumps(openapi_checks.document()))
    for path, calls in whole["paths"].items():
        _narrow(calls, ids_of_operators if path.startswith("/ops/") else ids)
    for name, schema in whole["components"]["schemas"].items():
        if _is_request_schema(name, whole["paths"]):
            _narrow(schema, ids)
    return whole


def _narrow(part: Any, ids: Ids) -> None:
    for name, values in (("user_id", ids.users), ("live_id", ids.rooms)):
        for schema in _schemas_of(part, name):
            is_integer = schema.get("type") == "integer"
            schema.pop("examples", None)
            schema["enum"] = [value if is_integer else str(value) for value in values]
        _set_example(part, name, values[0])
    for inside in part.values() if isinstance(part, dict) else part:
        if isinstance(inside, dict | list):
            _narrow(inside, ids)


def _set_example(part: Any, name: str, value: Any) -> None:
    """Replaces the example of the parameter `name`, or `name` in the example of a body."""
    example = part.get("example") if isinstance(part, dict) else None
    if isinstance(example, dict) and name in example:
        example[name] = value
    elif example is not None and part.get("name") == name:
        part["example"] = value


def _schemas_of(part: Any, name: str) -> list[dict[str, Any]]:
    """The schema of the parameter, or of the property of a body, with this name."""
    if not isinstance(part, dict):
        return []
    if part.get("name") == name and "schema" in part:
        return [part["schema"]]
    schema = part.get("properties", {}).get(name)
    is_scalar = isinstance(schema, dict) and schema.get("type") in ("string", "integer")
    return [schema] if is_scalar else []


def _is_request_schema(name: str, paths: dict[str, Any]) -> bool:
    bodies = [call.get("requestBody") for calls in paths.values() for call in calls.values()]
    return f'"#/components/schemas/{name}"' in json.dumps(bodies)
