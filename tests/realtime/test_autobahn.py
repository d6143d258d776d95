"""The framing against the cases of the Autobahn test suite."""

import pytest
from kosoku import run_fuzzingclient

from tests.support.echo_server import echo_server

FRAMING = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LIMITS = ["9.*"]
DEVIATIONS = {"NON-STRICT", "INFORMATIONAL"}
"""Verdicts of conforming behaviour that the RFC only recommends or leaves open."""


@pytest.mark.parametrize("cases", [FRAMING, LIMITS], ids=["framing", "limits"])
@pytest.mark.gen_test
async def test_framing_passes_the_autobahn_cases(cases: list[str]) -> None:
    async with echo_server() as port:
        results = await run_fuzzingclient(f"ws://127.0.0.1:{port}", cases=cases, concurrency=4)
    assert len(results) > 40
    failed = {
        result.case_id: (result.behavior.value, result.behavior_close.value)
        for result in results
        if not result.passed
    }
    assert failed == {}
    assert sum(result.behavior.value in DEVIATIONS for result in results) < 10
