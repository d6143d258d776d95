"""The framing against the cases of the Autobahn test suite."""

from kosoku import run_fuzzingclient

from tests.support.echo_server import echo_server
from tests.support.hypothesis_profiles import LONG_PROFILE

FRAMING = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LIMITS = ["9.*"]
"""Messages of up to 16 MB, a thousand times what the server accepts."""
DEVIATIONS = {"NON-STRICT", "INFORMATIONAL"}
"""Verdicts of conforming behaviour that the RFC only recommends or leaves open."""


async def test_framing_passes_the_autobahn_cases() -> None:
    cases = FRAMING + LIMITS * LONG_PROFILE
    async with echo_server() as port:
        results = await run_fuzzingclient(f"ws://127.0.0.1:{port}", cases=cases, concurrency=4)
    assert len(results) > 200
    failed = {
        result.case_id: (result.behavior.value, result.behavior_close.value)
        for result in results
        if not result.passed
    }
    assert failed == {}
    assert sum(result.behavior.value in DEVIATIONS for result in results) < 10
