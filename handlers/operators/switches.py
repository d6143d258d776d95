"""Operators' view of the switches in the consoles of WeChat and Tencent, and the checks of them."""

from datetime import datetime

from core.errors import RateLimited
from handlers.base import endpoint
from handlers.models import Response
from handlers.operator_base import OperatorHandler
from services.doctor.findings import Finding
from services.doctor.switches import CONSOLES, SwitchStatus


class ChecksResponse(Response):
    """The last run of the checks; `at` is null before the first."""

    at: datetime | None
    findings: list[Finding]


class SwitchesResponse(Response):
    """`consoles` has the addresses of the consoles."""

    consoles: dict[str, str]
    switches: list[SwitchStatus]
    last_checks: ChecksResponse


class OpsSwitchesHandler(OperatorHandler):
    """Switches in the consoles of WeChat and Tencent, and what shows each of them."""

    @endpoint()
    async def get(self) -> SwitchesResponse:
        service = self.context.services.switches
        checks = await service.last_checks()
        switches = await service.states(checks)
        last_checks = ChecksResponse.model_validate(checks)
        return SwitchesResponse(consoles=CONSOLES, switches=switches, last_checks=last_checks)


class OpsSwitchChecksHandler(OperatorHandler):
    """Run the doctor's checks, which takes up to 25 seconds; once a minute in the deployment."""

    @endpoint(errors=[RateLimited])
    async def post(self) -> ChecksResponse:
        checks = await self.context.services.switches.run_checks()
        wrong = [row.name for row in checks.findings if row.verdict == "wrong"]
        self.created = {"at": checks.at.isoformat() if checks.at else "", "wrong": wrong}
        return ChecksResponse.model_validate(checks)
