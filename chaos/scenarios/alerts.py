"""One fault after the other, each of which fires its alert and no other; before and after, none."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog
import yaml

from chaos.alert_faults import (
    ledger,
    operators,
    outages,
    payments,
    processes,
    services,
    withdrawals,
)
from chaos.alert_faults.environment import AlertEnvironment, open_environment
from chaos.alerts import INTERVAL, AlertCheck
from chaos.hurried_server import ENVIRONMENT
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.scrapes import RULES, Scraper

log = structlog.get_logger("chaos")

Fault = Callable[[AlertEnvironment], AbstractAsyncContextManager[None]]
"""Begins a fault, until the servers show it, and mends it, until they no longer do."""
PAUSE = 0.01
"""Seconds between two scrapes, which take some 0.02 s themselves."""


@dataclass(frozen=True)
class AlertFault:
    """A fault, in the words of docs/operations.md, and the alert that it fires."""

    alert: str
    words: str
    fault: Fault
    also: tuple[str, ...] = ()
    """Other alerts that it fires."""
    window: int = 0
    """Minutes that the rule looks back."""
    pause: float = PAUSE
    """Longer for a rule about rates: an interval has to contain events."""


FAULTS = (
    AlertFault("QLiveDown", "a server that is down", outages.server_down),
    AlertFault("QLiveMongoDBDown", "MongoDB that is down", outages.mongodb_down),
    AlertFault("QLiveRedisDown", "Redis that is down", outages.redis_down),
    AlertFault("QLiveRatesMissing", "a rate disabled in the database", ledger.rate_disabled),
    AlertFault("QLiveLedgerProblem", "a balance changed by hand", ledger.balance_changed),
    AlertFault("QLiveLedgerUnchecked", "a check that hangs", ledger.ledger_unchecked),
    AlertFault(
        "QLiveOrdersUnqueried", "an order of five hours ago, unqueried", payments.order_not_queried
    ),
    AlertFault("QLiveRequestsFail", "a user's document without a field", ledger.user_broken),
    AlertFault("QLivePlatformEvent", "a complaint and a penalty", services.events_pushed),
    AlertFault(
        "QLiveTransfersUnfunded",
        "a merchant's account without money",
        withdrawals.merchant_without_money,
    ),
    AlertFault(
        "QLiveWithdrawalStuck",
        "a transfer of three hours ago, unqueried",
        withdrawals.withdrawal_not_queried,
    ),
    AlertFault("QLiveRefundStuck", "a refund that WeChat Pay refuses", payments.refund_refused),
    AlertFault(
        "QLiveRefundUnfinished",
        "a refund that WeChat Pay does not end for four days",
        payments.refund_unfinished,
    ),
    AlertFault(
        "QLiveTransferProblem",
        "a transfer of another amount at WeChat Pay",
        withdrawals.other_amount_stated,
    ),
    AlertFault(
        "QLiveWithdrawalsWait",
        "a withdrawal without a decision for four days",
        withdrawals.withdrawal_undecided,
    ),
    AlertFault("QLivePaymentsRefused", "a forged notification", payments.notification_forged),
    AlertFault(
        "QLiveXpayRejected", "another key of virtual payment at WeChat", payments.app_key_wrong
    ),
    AlertFault("QLiveServiceDown", "an outage of WeChat", services.wechat_down),
    AlertFault("QLiveServiceDown", "an outage of IM", services.im_down),
    AlertFault("QLiveServiceDown", "an outage of WeChat Pay", services.pay_down),
    AlertFault(
        "QLiveOutboxOld", "a stream that CSS does not drop for an hour", services.stream_not_dropped
    ),
    AlertFault("QLiveEventsSlow", "a slow Redis", services.redis_slow, window=5, pause=0.2),
    AlertFault("QLiveLoopBusy", "a throttled process", processes.process_throttled, window=5),
    AlertFault("QLiveGroupsReplaced", "six dissolved chat groups", services.groups_dissolved),
    AlertFault("QLiveOperatorTokensRefused", "eight wrong tokens", operators.wrong_tokens),
    AlertFault("QLiveOperatorLoginsRefused", "fourteen wrong passwords", operators.wrong_logins),
    AlertFault(
        "QLiveRestarted",
        "a process killed twice",
        processes.process_killed_twice,
        also=("QLiveDown",),
        window=20,
        pause=0.2,
    ),
)
ALERTS = tuple(dict.fromkeys(it.alert for it in FAULTS))
"""The other one is fired by the scenario hostile."""
BEFORE = 8
"""Scrapes before each fault: a counter needs a value to rise from."""
MARGIN_SECONDS = 90
"""For which a fault lasts longer than its alert needs."""
QUIET_SCRAPES = 100
"""At least so many: 25 minutes, longer than any rule waits."""
EXPECTED_ERRORS = frozenset(
    {
        "request_failed: TypeError: User.__init__() missing 1 required positional argument: "
        "'create_time'"
    }
)
"""In the logs, of the request about a user's document without a field."""
SIZE = RunSize(
    clients=18,
    rooms=3,
    processes=2,
    pause=0.5,
    rejoins=False,
    program="chaos/hurried_server.py",
    settings={
        **ENVIRONMENT,
        **withdrawals.SETTINGS,
        # Otherwise the checks are faster than a slow Redis.
        "QLIVE_REALTIME__CHECK_SECONDS": "5",
    },
)


async def alerts(config: RunConfig) -> RunReport:
    """`config.seconds`: the length of the quiet phases at the start and at the end."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        Scraper(run.fleet, timeout=5.0) as scraper,
        open_environment(run, scraper) as env,
    ):
        started = time.monotonic()
        run.start_load(quiet=1)
        phases = Phases()
        phases.add("quiet", (), await _quiet(scraper, config.seconds))
        for fault in FAULTS:
            alerts_of = (fault.alert, *fault.also)
            phases.add(fault.words, alerts_of, await _inject(env, scraper, fault))
        phases.add("quiet again", (), await _quiet(scraper, config.seconds))
        await run.settle()
        await check_invariants(run, EXPECTED_ERRORS)
        fired, others = await phases.fired()
        return _report(run, fired, others, time.monotonic() - started)


class Phases:
    """What was recorded in each phase; evaluated while the next ones are recorded."""

    def __init__(self) -> None:
        self._expected: dict[str, set[str]] = {}
        self._found: dict[str, asyncio.Task[set[str]]] = {}

    def add(self, words: str, expected: Iterable[str], check: AlertCheck) -> None:
        self._expected[words] = {*expected}
        self._found[words] = asyncio.create_task(check.fired())

    async def fired(self) -> tuple[set[str], dict[str, list[str]]]:
        """All alerts, and by phase those of phases with other alerts than expected."""
        found = {words: await task for words, task in self._found.items()}
        others = {it: sorted(fired) for it, fired in found.items() if fired != self._expected[it]}
        return set.union(*found.values()), others


async def _quiet(scraper: Scraper, seconds: float) -> AlertCheck:
    """Record for `seconds`, but at least QUIET_SCRAPES."""
    check, started = AlertCheck(scraper), time.monotonic()
    await check.record(PAUSE, QUIET_SCRAPES)
    while time.monotonic() - started < seconds:
        await check.record(PAUSE, 1)
    return check


async def _inject(env: AlertEnvironment, scraper: Scraper, fault: AlertFault) -> AlertCheck:
    """Record a fault from shortly before it until its alert has to fire."""
    check, started = AlertCheck(scraper), time.monotonic()
    await check.record(fault.pause, BEFORE)
    async with fault.fault(env):
        waits = max(map(waiting_seconds, (fault.alert, *fault.also))) + 60 * fault.window
        await check.record(fault.pause, (waits + MARGIN_SECONDS) // INTERVAL)
    log.info("fault_ended", words=fault.words, seconds=round(time.monotonic() - started, 1))
    return check


def waiting_seconds(alert: str) -> int:
    """How long the rule's condition has to hold."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rule = next(it for group in groups for it in group["rules"] if it.get("alert") == alert)
    minutes = re.fullmatch(r"(\d+)m", rule.get("for", "0m"))
    assert minutes, rule
    return 60 * int(minutes[1])


def _report(run: Run, fired: set[str], others: dict[str, list[str]], seconds: float) -> RunReport:
    report = make_report(
        run,
        "alerts",
        seconds,
        faults=len(FAULTS),
        alerts=sorted(fired),
        alerts_missing=len({*ALERTS} - fired),
        phases_with_other_alerts=len(others),
        other_alerts=others,
    )
    report.require("alerts_missing", 0)
    report.require("phases_with_other_alerts", 0)
    return report


SCENARIO = Scenario(
    alerts,
    "each fault fires its alert and no other, a quiet evening none",
    SIZE,
    10,
    rounds=2,
    alerts=ALERTS,
)
