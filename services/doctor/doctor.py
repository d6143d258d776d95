"""The doctor: harmless calls to every service, side by side, and what they show."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from functools import partial
from statistics import median
from typing import NamedTuple

import structlog

from config.settings import Settings
from services.doctor import cloud, cos, im, merchant, stores, wechat
from services.doctor.findings import AGAIN, CLOCK, TOO_MANY, Examination, Finding, Findings
from services.doctor.servers import RunningServers
from storage.database import Database
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.doctor")

SERVICE_SECONDS = 20.0
"""Limit of each service: with start and clean-up, all end within 30 s."""
CALLBACK_SECONDS = 10.0
CLOCK_CHECKS = {CLOCK: "median of the dates of answers, against this machine's clock"}
MAX_DIFFERENCE_SECONDS = 5.0
REACH = (
    "Check that this machine reaches the service by https (DNS, firewall, proxy) at its api_base."
)

Check = Callable[[Examination], Awaitable[None]]


class ClockComparison:
    """Compares this machine's clock with the dates of answers, one of each service."""

    def __init__(self) -> None:
        self._differences: dict[str, float] = {}

    def note(self, service: str, headers: Mapping[str, str]) -> None:
        """Note the date of an answer, unless a cache gave it, which says its `Age`."""
        if "Age" in headers:
            return
        try:
            date = parsedate_to_datetime(headers.get("Date", ""))
        except (ValueError, OverflowError):
            return
        self._differences[service] = date.timestamp() - time.time()

    def judge(self, findings: Findings) -> bool:
        """Add the finding about the clock; return whether it is wrong."""
        if not self._differences:
            findings.cannot_tell(CLOCK, "no service answered", AGAIN)
            return False
        seconds = median(self._differences.values())
        is_right, to_do = abs(seconds) <= MAX_DIFFERENCE_SECONDS, "Set it by NTP (chrony)."
        findings.tell(CLOCK, f"{seconds:+.0f} s", to_do, is_right=is_right)
        return not is_right


class Section(NamedTuple):
    """The checks of one service; `waits` is how long they wait for a person."""

    service: str
    checks: Mapping[str, str]
    check: Check
    waits: float = 0


class Doctor:
    """Finds out what the settings, the keys and the switches at WeChat and Tencent lack.

    It changes nothing that users see. `database` is None in development without one; it may be
    away.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database | None,
        *,
        show_url: Callable[[str], None] | None = None,
        resolve: cloud.Resolve = cloud.resolves,
        callback_seconds: float = CALLBACK_SECONDS,
        service_seconds: float = SERVICE_SECONDS,
    ) -> None:
        """`show_url` receives the push URL of a test stream; without it no stream is awaited."""
        self._settings = settings
        self._servers = RunningServers(database)
        live = partial(cloud.check_live_streaming, resolve=resolve, show_url=show_url)
        stream_seconds = cloud.STREAM_SECONDS if show_url else 0
        mongodb = partial(stores.check_mongodb, database=database)
        call_im = partial(im.check_im, callback_seconds=callback_seconds)
        self._sections = (
            Section("WeChat", wechat.CHECKS, wechat.check_wechat),
            Section("WeChat Pay", merchant.CHECKS, merchant.check_merchant_api),
            Section("IM", im.CHECKS, call_im),
            Section("CSS", cloud.LIVE_CHECKS, live, stream_seconds),
            Section("COS", cos.CHECKS, cos.check_cos),
            Section("FaceID", cloud.FACEID_CHECKS, cloud.check_faceid),
            Section("MongoDB", stores.MONGODB_CHECKS, mongodb),
            Section("Redis", stores.REDIS_CHECKS, stores.check_redis),
            Section("servers", stores.SERVER_CHECKS, stores.check_servers),
        )
        self._service_seconds = service_seconds

    async def run(self) -> list[Finding]:
        """Return the findings; every clean-up runs, also if this is cancelled."""
        clock = ClockComparison()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._examine(each, clock)) for each in self._sections]
        of_clock = Findings("clock", CLOCK_CHECKS)
        differs = clock.judge(of_clock)
        examined = [*(task.result() for task in tasks), of_clock]
        return [row for each in examined for row in each.complete(clock_differs=differs)]

    async def _examine(self, section: Section, clock: ClockComparison) -> Findings:
        """Run the checks of one service; what ends them is the finding of the next check."""
        findings = Findings(section.service, section.checks)
        seconds = self._service_seconds + section.waits
        note = partial(clock.note, section.service)
        try:
            # The clean-ups of the stack run after the timeout, which does not cut them short.
            async with AsyncExitStack() as stack, asyncio.timeout(seconds):
                examination = Examination(self._settings, findings, self._servers, stack, note)
                await section.check(examination)
        except ServiceUnavailable as error:
            if error.why == TOO_MANY:
                findings.end("cannot be told", error.why, AGAIN)
            else:
                is_status = error.why.startswith("HTTP ")
                came_back = error.why if is_status else f"no answer ({error.why or error.code})"
                findings.end("wrong", came_back, REACH)
        except TimeoutError:
            findings.end("cannot be told", f"no end within {seconds:g} s", AGAIN)
        except Exception as error:  # one service must not hide the findings about the others
            log.exception("doctor_check_failed", service=section.service)
            findings.end("cannot be told", type(error).__name__, "See the log.")
        return findings
