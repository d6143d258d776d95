"""Schemathesis generates valid and invalid requests from the OpenAPI document of a server.

The seed is fixed, so that runs of the same code find the same. What the server answers is checked
by tests/support/openapi_checks.py, as in every test.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode

from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.hypothesis_profiles import repetitions

SEED = 20261125
EXAMPLES = {GenerationMode.POSITIVE: repetitions(1), GenerationMode.NEGATIVE: repetitions(2)}
"""Random requests per operation."""
EXCLUDED = {
    "users.Logout.get",  # all requests after it would be 401
    "socket.RoomSocket.get",  # needs a WebSocket client
}
OF_HOSTS = {"rooms", "mic"}
OF_OPERATORS = {"operators", "simulator"}
"""Tags of the operations that are called with these tokens; the others with the guest's."""
OF_GUESTS = {"mic.ApplyMicro.post"}
"""An exception: the host does not apply for the mic."""

LONG_TEXT = 1_000
"""A longer text takes seconds to generate."""
UNKNOWN_USER = "00000000"


class Ids(NamedTuple):
    """The ids with which some operations are called."""

    users: Sequence[str]
    rooms: Sequence[int]


@pytest.mark.gen_test(timeout=300)
async def test_answers_to_generated_requests_conform_to_the_document(api: ApiFixture) -> None:
    host, other_host = await api.host(), await api.host("other")
    guest = await api.guest("bert", 1, host.live_id, gold=100_000)
    other = await api.guest("anna", 2, host.live_id)
    third = await api.guest("carl", 1, other_host.live_id, gold=100)
    document = _narrowed(
        Ids([host.id, guest.id, other.id, UNKNOWN_USER], [host.live_id, 77]),
        Ids([other_host.id, third.id, UNKNOWN_USER], [other_host.live_id, 77]),
    )
    operator = {"Authorization": f"Bearer {await api.operator_token()}"}
    called = set()
    for case in _cases(document):
        definition = case.operation.definition.raw
        tags, name = set(definition["tags"]), definition["operationId"]
        headers = guest.headers
        if tags & OF_OPERATORS:
            headers = operator
        elif tags & OF_HOSTS and name not in OF_GUESTS:
            headers = host.headers
        await asyncio.to_thread(case.call, base_url=api.address, headers=headers)
        called.add(name)
    documented = {
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    assert called == documented - EXCLUDED


def _cases(document: dict[str, Any]) -> Iterator[Case]:
    """Requests of all operations; an operation without parameters has no invalid ones."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if operation.definition.raw["operationId"] in EXCLUDED:
            continue
        for mode, examples in EXAMPLES.items():
            yield from _generated(operation.as_strategy(generation_mode=mode), examples)


def _generated(strategy: SearchStrategy[Case], examples: int) -> list[Case]:
    cases: list[Case] = []

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def collect(case: Case) -> None:
        cases.append(case)

    with suppress(Unsatisfiable):
        collect()
    return cases


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
    if isinstance(part, dict) and part.get("maxLength", 0) > LONG_TEXT:
        del part["maxLength"]
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
