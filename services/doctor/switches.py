"""The switches of the five consoles, and what shows that each is set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import yaml

from config.settings import Settings
from core.errors import RateLimited
from services.doctor.doctor import Doctor
from services.doctor.findings import Finding
from storage.database import Database
from storage.documents import known_fields
from storage.jobs.arrivals import Arrival
from storage.stores import Stores

JOB_NAME = "doctor"
INTERVAL_SECONDS = 60
SERVICE_SECONDS = 15.0
"""With clean-ups, a run ends within the 30 s for which nginx waits."""

SwitchState = Literal["right", "wrong", "not used", "not seen", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch in a console: `path` and `value`, and what breaks `without` it.

    `checks` are the findings, and `arrivals` the beginnings of the kinds of callbacks that show it.
    """

    name: str
    console: str
    path: str
    value: str
    why: str
    without: str
    zh: str
    """`without` in Chinese."""
    checks: Sequence[str] = ()
    arrivals: Sequence[str] = ()


_ROWS = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
SWITCHES = [Switch(**row) for row in yaml.load(_ROWS, Loader=yaml.CSafeLoader)]
CONSOLES = {
    "WeChat": "mp.weixin.qq.com",
    "WeChat Pay": "pay.weixin.qq.com",
    "IM": "console.cloud.tencent.com/im",
    "CSS": "console.cloud.tencent.com/live",
    "COS": "console.cloud.tencent.com/cos",
}


@dataclass(frozen=True, slots=True)
class Checks:
    """The last run of the doctor's checks; `at` is None before the first."""

    at: datetime | None
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class SwitchStatus:
    """What is known of a switch; `last_at` is when a callback has last shown it."""

    switch: Switch
    state: SwitchState
    last_at: datetime | None


class SwitchService:
    """Tells which switches are set, from what has arrived and what the doctor has found."""

    def __init__(self, settings: Settings, stores: Stores, database: Database) -> None:
        self._settings = settings
        self._stores = stores
        self._database = database

    async def run_checks(self) -> Checks:
        """Run the doctor and store what it finds. Raises RateLimited within a minute of a run."""
        if not await self._stores.job_leases.acquire(JOB_NAME, INTERVAL_SECONDS):
            raise RateLimited(retry_after=INTERVAL_SECONDS)
        at = datetime.now(UTC)
        doctor = Doctor(self._settings, self._database, service_seconds=SERVICE_SECONDS)
        findings = await doctor.run()
        result = {"at": at.timestamp(), "findings": [asdict(row) for row in findings]}
        await self._stores.job_leases.store_result(JOB_NAME, result)
        return Checks(at, findings)

    async def last_checks(self) -> Checks:
        result = await self._stores.job_leases.last_result(JOB_NAME)
        if not result:
            return Checks(None, ())
        findings = [Finding(**known_fields(Finding, row)) for row in result["findings"]]
        return Checks(datetime.fromtimestamp(result["at"], UTC), findings)

    async def states(self, checks: Checks) -> list[SwitchStatus]:
        """Return what the checks and the callbacks of all processes show of each switch."""
        arrivals = await self._stores.arrivals.all()
        last = {switch.name: last_arrival(switch, arrivals) for switch in SWITCHES}
        return [
            SwitchStatus(switch, state_of(switch, checks, last[switch.name]), last[switch.name])
            for switch in SWITCHES
        ]


def last_arrival(switch: Switch, arrivals: Sequence[Arrival]) -> datetime | None:
    """Return when a callback that shows the switch has come last."""
    beginnings = tuple(switch.arrivals)
    return max((row.last_at for row in arrivals if row.kind.startswith(beginnings)), default=None)


def state_of(switch: Switch, checks: Checks, last_at: datetime | None) -> SwitchState:
    """Return the state of a switch; a callback after the checks outweighs their findings."""
    verdicts: Mapping[str, str] = {row.name: row.verdict for row in checks.findings}
    found = {verdicts[name] for name in switch.checks if name in verdicts}
    if "wrong" in found and not (last_at and checks.at and last_at > checks.at):
        return "wrong"
    if last_at or (found and found <= {"right", "not used"} and "right" in found):
        return "right"
    if found == {"not used"}:
        return "not used"
    return "not seen" if switch.arrivals else "cannot be told"
