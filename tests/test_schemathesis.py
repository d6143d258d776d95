"""Schemathesis reads the description and calls a server as it says, and as it does not.

The seed is fixed, so that a run of the same code finds the same.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import described
from tests.examples import SEARCHES, rounds
from tests.phones import Street

pytestmark = pytest.mark.programs

SEED = "20261125"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
"""Not negative_data_rejection: numbers may come as text, what is not known is ignored. Not
positive_data_acceptance: who is too poor, banned or not on mic is refused with any data."""

CONFIG = """
[phases.coverage]
unexpected-methods = ["TRACE"]
"""
"""Every other wrong method: tests/handlers/test_bad_input.py."""
EXAMPLES = 5
"""Of each call that is fuzzed, beside what is shown and the limits of every parameter."""
PHASES = "examples,coverage,fuzzing" if SEARCHES else "examples,coverage"

NOBODY = "00000000"


@pytest.mark.gen_test(timeout=120)
async def test_schemathesis_finds_nothing_as_a_guest_in_a_room(
    street: Street, tmp_path: Path
) -> None:
    host = await street.host()
    guest = await street.guest("bert", 1, host.live_id, gold=100_000)
    other = await street.guest("anna", 2, host.live_id)
    document = _among([host.id, guest.id, other.id, NOBODY], [host.live_id, 77])
    await _run(
        street,
        tmp_path,
        document,
        f"Authorization: QLiveToken {guest.token}",
        "--exclude-tag=operators",
        "--exclude-tag=simulator",  # below
        "--exclude-operation-id=users.Logout.get",  # all else would be 401 after it
        "--exclude-operation-id=socket.RoomSocket.get",  # 101 is for who speaks WebSocket
    )


@pytest.mark.gen_test(timeout=120)
async def test_schemathesis_finds_nothing_as_a_host(street: Street, tmp_path: Path) -> None:
    host = await street.host()
    guest = await street.guest("bert", 1, host.live_id)
    await _run(
        street,
        tmp_path,
        _among([host.id, guest.id, NOBODY], [host.live_id, 77]),
        f"Authorization: QLiveToken {host.token}",
        "--include-tag=rooms",
        "--include-tag=mic",
        phases="examples,fuzzing",  # wrong parameters are refused before it is asked who sent them
    )


@pytest.mark.gen_test(timeout=120)
async def test_schemathesis_finds_nothing_as_an_operator(street: Street, tmp_path: Path) -> None:
    host = await street.host()
    guest = await street.guest("bert", 1, host.live_id, gold=100)
    await _run(
        street,
        tmp_path,
        _among([host.id, guest.id, NOBODY], [host.live_id, 77]),
        f"Authorization: Bearer {street._ops_token}",
        "--include-tag=operators",
    )


@pytest.mark.gen_test(timeout=120)
async def test_schemathesis_finds_nothing_at_the_simulators_phone(
    street: Street, tmp_path: Path
) -> None:
    await _run(
        street,
        tmp_path,
        described.document(),
        "X-Nobody: 1",
        "--include-tag=simulator",
        # It answers in the manner of the services that it plays.
        "--exclude-checks=unsupported_method,allow_header_conformance",
    )


@pytest.mark.gen_test(timeout=60)
async def test_schemathesis_would_find_what_is_not_as_described(
    street: Street, tmp_path: Path
) -> None:
    document = json.loads(json.dumps(described.document()))
    document["components"]["schemas"]["Alive"]["properties"]["status"] = {"const": "well"}
    with pytest.raises(AssertionError, match="ST205|does not conform|schema"):
        await _run(street, tmp_path, document, "X-Nobody: 1", "--include-path=/healthz")


async def _run(
    street: Street,
    folder: Path,
    document: dict[str, Any],
    header: str,
    *words: str,
    phases: str = PHASES,
) -> None:
    """Its own words are the test's when it finds something."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(CONFIG)
    schemathesis = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json"),
        *(f"--url={street.address}", f"--header={header}", f"--seed={SEED}"),
        *(f"--checks={','.join(CHECKS)}", f"--phases={phases}"),
        f"--max-examples={rounds(EXAMPLES)}",
        *("--suppress-health-check=all", "--warnings=off", "--no-color", "--no-shrink"),
        *("--continue-on-failure", *words),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await schemathesis.communicate()
    assert schemathesis.returncode == 0, said.decode()


def _among(people: list[str], lives: list[int]) -> dict[str, Any]:
    """The description, narrowed to people and rooms that there are: others are found too rarely."""
    whole = json.loads(json.dumps(described.document()))
    names = {"user_id": people, "live_id": lives}

    def narrow(part: Any) -> None:
        for name, values in names.items():
            for schema in _schemas_of(part, name):
                narrowed = [v if schema.get("type") == "integer" else str(v) for v in values]
                schema.pop("examples", None)
                schema["enum"] = narrowed
            _show(part, name, values[0])
        for inside in part.values() if isinstance(part, dict) else part:
            if isinstance(inside, dict | list):
                narrow(inside)

    narrow(whole["paths"])
    asked = {name for name in whole["components"]["schemas"] if _is_asked(name, whole["paths"])}
    for name in asked:
        narrow(whole["components"]["schemas"][name])
    return whole


def _show(part: Any, name: str, value: Any) -> None:
    """The example of the parameter with this name, or what a body's has of it, where it has one."""
    example = part.get("example") if isinstance(part, dict) else None
    if isinstance(example, dict) and name in example:
        example[name] = value
    elif example is not None and part.get("name") == name:
        part["example"] = value


def _schemas_of(part: Any, name: str) -> list[dict[str, Any]]:
    """Of the parameter with this name, or of the property of a body."""
    if not isinstance(part, dict):
        return []
    if part.get("name") == name and "schema" in part:
        return [part["schema"]]
    kind = part.get("properties", {}).get(name)
    return [kind] if isinstance(kind, dict) and kind.get("type") in ("string", "integer") else []


def _is_asked(name: str, paths: dict[str, Any]) -> bool:
    bodies = [call.get("requestBody") for calls in paths.values() for call in calls.values()]
    return f'"#/components/schemas/{name}"' in json.dumps(bodies)
