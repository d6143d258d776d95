"""The SDK, chaos/ and loadtest/ reconnect by one rule, whose codes are the server's."""

import json
from typing import Any

import pytest

from loadtest.reconnect import MINUTE_MS, RULE, Reconnects, is_final
from realtime.frames import CloseCode
from tests.support.node import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

RETRIES_MS = [0, 50, 3_000, 30_000]
RANDOMS = [0, 0.5, 1]
ATTEMPTS = 2 * RULE["attempts_per_minute"]
SCRIPT = """
const { isFinal, limitAttempts, retryDelay } = await import(BACKOFF);
const delaysOf = (retryMs, random) => {
  const delays = [];
  const attempts = [];
  for (let [failures, now] = [0, 0]; failures < ATTEMPTS; now += delays[failures++]) {
    attempts.push(now);
    const backoff = retryDelay(failures, retryMs, () => random);
    delays.push(limitAttempts(backoff, attempts.slice(-MOST), now));
  }
  return delays;
};
const delays = RETRIES.flatMap((retryMs) => RANDOMS.map((random) => delaysOf(retryMs, random)));
const codes = Array.from({ length: 6000 }, (_, code) => code).filter(isFinal);
console.log(JSON.stringify({ delays, codes }));
"""


async def sdk_rule() -> dict[str, Any]:
    constants = {
        "BACKOFF": str(ROOT / "clients" / "miniprogram" / "src" / "backoff.js"),
        "ATTEMPTS": ATTEMPTS,
        "MOST": RULE["attempts_per_minute"],
        "RETRIES": RETRIES_MS,
        "RANDOMS": RANDOMS,
    }
    lines = [f"const {name} = {json.dumps(value)};" for name, value in constants.items()]
    output = await run("--input-type=module", "--eval", "\n".join([*lines, SCRIPT]))
    return json.loads(output)


def delays_of(retry_ms: int, random: float) -> list[float]:
    reconnects = Reconnects(lambda: random)
    now, delays = 0.0, []
    for _ in range(ATTEMPTS):
        reconnects.attempt(now)
        delays.append(reconnects.delay_ms(now, 0, retry_ms))
        now += delays[-1]
    return delays


async def test_python_clients_wait_as_long_as_the_sdk_and_end_at_the_same_codes():
    sdk = await sdk_rule()
    assert sdk["delays"] == [delays_of(ms, random) for ms in RETRIES_MS for random in RANDOMS]
    final = [code for code in range(6_000) if is_final(code) and code != RULE["token_code"]]
    assert sdk["codes"] == final


def test_a_minute_has_ten_attempts_and_a_stable_connection_ends_the_failures():
    assert sum(delays_of(0, 0)[:10]) >= MINUTE_MS
    reconnects = Reconnects(lambda: 1)
    assert [reconnects.delay_ms(0, 0) for _ in range(3)] == [500, 1000, 2000]
    assert reconnects.delay_ms(0, RULE["stable_ms"]) == 500


def test_final_codes_are_those_of_the_server():
    assert RULE["token_code"] == CloseCode.TOKEN
    final = {code for code in CloseCode if not code.reconnect}
    assert RULE["final_codes"] == {str(int(code)): code.reason for code in final}
    assert {code for code in CloseCode if is_final(code)} == final | {CloseCode.TOKEN}
