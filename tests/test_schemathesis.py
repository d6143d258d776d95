"""Schemathesis calls a server with valid and invalid requests from its OpenAPI document.

The seed is fixed, so that runs of the same code find the same.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.hypothesis_profiles import LONG_PROFILE, repetitions

pytestmark = pytest.mark.programs

SEED = "20261125"
CONFORMANCE = (
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
"""What tests/support/openapi_checks.py checks of every response; one run checks it from outside."""
CHECKS = (
    "not_a_server_error",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
"""Not negative_data_rejection: numbers may be strings, unknown fields are ignored. Not
positive_data_acceptance: a user without gold, banned or not on mic is refused with valid data."""

CONFIG = """
[phases.coverage]
unexpected-methods = ["TRACE"]

[[operations]]
include-tag = "simulator"
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""
"""tests/handlers/test_bad_input.py tests the other unexpected methods.

The simulator answers like the services that it simulates."""
EXAMPLES = 5
"""Per fuzzed operation, beside the documented examples and the limits of each parameter."""
PHASES = "examples,coverage,fuzzing" if LONG_PROFILE else "examples,coverage"

UNKNOWN_USER = "00000000"


@pytest.mark.gen_test(timeout=120)
async def test_api_conforms_for_a_guest_in_a_room(api: ApiFixture, tmp_path: Path) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id, gold=100_000)
    other = await api.guest("anna", 2, host.live_id)
    document = _narrowed([host.id, guest.id, other.id, UNKNOWN_USER], [host.live_id, 77])
    await _run(
        api,
        tmp_path,
        document,
        f"Authorization: QLiveToken {guest.token}",
        "--exclude-tag=operators",
        "--exclude-tag=simulator",
        "--exclude-operation-id=users.Logout.get",  # all requests after it would be 401
        "--exclude-operation-id=socket.RoomSocket.get",  # needs a WebSocket client
    )


@pytest.mark.gen_test(timeout=120)
async def test_room_operations_conform_for_a_host(api: ApiFixture, tmp_path: Path) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    await _run(
        api,
        tmp_path,
        _narrowed([host.id, guest.id, UNKNOWN_USER], [host.live_id, 77]),
        f"Authorization: QLiveToken {host.token}",
        "--include-tag=rooms",
        "--include-tag=mic",
        checks=(*CHECKS, *CONFORMANCE),
        phases="examples,fuzzing",  # invalid parameters are refused before authorization
    )


@pytest.mark.gen_test(timeout=300)
async def test_operator_and_simulator_api_conform(api: ApiFixture, tmp_path: Path) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id, gold=100)
    await _run(
        api,
        tmp_path,
        _narrowed([host.id, guest.id, UNKNOWN_USER], [host.live_id, 77]),
        f"Authorization: Bearer {await api.operator_token()}",
        "--include-tag=operators",
        "--include-tag=simulator",
    )


async def _run(
    api: ApiFixture,
    folder: Path,
    document: dict[str, Any],
    header: str,
    *options: str,
    checks: tuple[str, ...] = CHECKS,
    phases: str = PHASES,
) -> None:
    """Fails with the report of Schemathesis."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(CONFIG)
    schemathesis = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json"),
        *(f"--url={api.address}", f"--header={header}", f"--seed={SEED}"),
        *(f"--checks={','.join(checks)}", f"--phases={phases}"),
        f"--max-examples={repetitions(EXAMPLES)}",
        *("--suppress-health-check=all", "--warnings=off", "--no-color", "--no-shrink"),
        *("--continue-on-failure", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await schemathesis.communicate()
    assert schemathesis.returncode == 0, report.decode()


def _narrowed(user_ids: list[str], live_ids: list[int]) -> dict[str, Any]:
    """The OpenAPI document with only these ids; random ids would rarely exist."""
    whole = json.loads(json.dumps(openapi_checks.document()))
    values_of = {"user_id": user_ids, "live_id": live_ids}

    def narrow(part: Any) -> None:
        for name, values in values_of.items():
            for schema in _schemas_of(part, name):
                is_integer = schema.get("type") == "integer"
                schema.pop("examples", None)
                schema["enum"] = [value if is_integer else str(value) for value in values]
            _set_example(part, name, values[0])
        for inside in part.values() if isinstance(part, dict) else part:
            if isinstance(inside, dict | list):
                narrow(inside)

    narrow(whole["paths"])
    request_schemas = {
        name for name in whole["components"]["schemas"] if _is_request_schema(name, whole["paths"])
    }
    for name in request_schemas:
        narrow(whole["components"]["schemas"][name])
    return whole


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
