"""Schemathesis generates valid and invalid requests from the OpenAPI document of a server.

The seed is fixed, so that runs of the same code find the same. What the server answers is checked
by tests/support/openapi_checks.py, as in every test.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode

from tests.support import openapi_checks
from tests.support.hypothesis_profiles import repetitions
from tests.support.waiting import WAIT_SECONDS

SEED = 20261125
EXAMPLES = {GenerationMode.POSITIVE: repetitions(2), GenerationMode.NEGATIVE: repetitions(1)}
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


@pytest.mark.gen_test(timeout=300)
async def test_answers_to_generated_requests_conform_to_the_document(api):
    host, other_host = await api.host(), await api.host("other")
    guest = await api.guest("bert", 1, host.live_id, gold=100_000)
    third = await api.guest("carl", 1, other_host.live_id, gold=100)
    operator = {"Authorization": f"Bearer {await api.operator_token()}"}
    called = set()
    for case in _cases():
        definition = case.operation.definition.raw
        tags, name = set(definition["tags"]), definition["operationId"]
        headers, user, room = guest.headers, host, host.live_id
        if tags & OF_OPERATORS:  # who end sessions and rooms, of others than the callers
            headers, user, room = operator, third, other_host.live_id
        elif tags & OF_HOSTS and name not in OF_GUESTS:
            headers, user = host.headers, guest
        if name not in called:  # the ids of later requests are random, and rarely exist
            _fill_in(case, user_id=user.id, live_id=room)
        options = {"base_url": api.address, "headers": headers, "timeout": WAIT_SECONDS}
        await asyncio.to_thread(case.call, **options)
        called.add(name)
    documented = {
        operation["operationId"]
        for operations in openapi_checks.document()["paths"].values()
        for operation in operations.values()
    }
    assert called == documented - EXCLUDED


def _fill_in(case: Case, **ids: str | int) -> None:
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            part.update({name: value for name, value in ids.items() if name in part})


def _cases() -> Iterator[Case]:
    """Requests of all operations; an operation without parameters has no invalid ones."""
    document: dict[str, Any] = json.loads(json.dumps(openapi_checks.document()))
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            if field.get("maxLength", 0) > LONG_TEXT:
                del field["maxLength"]
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
