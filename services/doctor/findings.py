"""Findings of the doctor, and what the checks of one service share."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from config.settings import Settings
from services.doctor.servers import RunningServers
from tencent.errors import ServiceUnavailable
from tencent.service_client import OnResponse, ServiceClient, ServiceResponse

CLOCK = "clock.difference"
CLEAN_UP_SECONDS = 4.0
MAKE_SECONDS = 2.0
"""How long a clean-up waits for a request that makes something."""
TOO_MANY = "HTTP 429"
AGAIN = "Try again in a few minutes."
UNKNOWN_CODE = "Look up this code in the service's documentation."

T = TypeVar("T")
Verdict = Literal["right", "wrong", "cannot be told", "not used"]
ToDo = Mapping[Any, str]
"""What to do about an error, by its code."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check; no text has a secret.

    A `name` never changes, since others refer to it. `because_of` names the finding without which
    the check could not run.
    """

    name: str
    service: str
    tried: str
    verdict: Verdict
    came_back: str = ""
    to_do: str = ""
    because_of: str = ""


class Findings:
    """Findings about one service; `checks` has what they try by name, in their order."""

    def __init__(self, service: str, checks: Mapping[str, str]) -> None:
        self._service = service
        self._checks = dict(checks)
        self._found: dict[str, Finding] = {}
        self._timed: set[str] = set()
        """Checks whose failure a wrong clock may have caused."""

    def tell(
        self, name: str, came_back: str, to_do: str, *, is_right: bool, timed: bool = False
    ) -> None:
        """Add what a check has shown; a wrong clock may make a `timed` one fail."""
        self._add(name, "right" if is_right else "wrong", came_back, "" if is_right else to_do)
        if timed and not is_right:
            self._timed.add(name)

    def cannot_tell(self, name: str, came_back: str, to_do: str, because_of: str = "") -> None:
        self._add(name, "cannot be told", came_back, to_do, because_of)

    def not_used(self, why: str, *names: str) -> None:
        """Note that these checks, or all, are about what the settings do not use."""
        for name in names or self._checks:
            self._add(name, "not used", why)

    def judge(
        self,
        name: str,
        code: object,
        right: Container[object],
        wrong: ToDo,
        *,
        shown: str = "",
        timed: Container[object] = (),
    ) -> bool:
        """Add the finding of an error code; return whether it is right.

        A code that is neither right nor wrong cannot be told. `shown` is what came back, if that is
        more than the code.
        """
        came_back, is_right = shown or str(code), code in right
        if is_right or code in wrong or code in timed:
            to_do = wrong.get(code, "Set this machine's clock by NTP.")
            self.tell(name, came_back, to_do, is_right=is_right, timed=code in timed)
        else:
            self.cannot_tell(name, came_back, f"{AGAIN} {UNKNOWN_CODE}")
        return is_right

    def end(self, verdict: Verdict, came_back: str, to_do: str) -> None:
        """Add the finding of the first check without one, if any: it ended the rest."""
        for name in self._checks:
            if name not in self._found:
                self._add(name, verdict, came_back, to_do)
                return

    def complete(self, *, clock_differs: bool) -> list[Finding]:
        """Return a finding of every check; those that did not run are due to the last finding."""
        found = self._found
        if clock_differs:
            for name in self._timed:
                due = replace(found[name], verdict="cannot be told", because_of=CLOCK)
                found[name] = due
        last = list(found.values())[-1]
        cause = last.because_of or last.name
        for name in self._checks:
            if name not in found:
                self.cannot_tell(name, "", "", because_of=cause)
        return [found[name] for name in self._checks]

    def _add(
        self, name: str, verdict: Verdict, came_back: str, to_do: str = "", because_of: str = ""
    ) -> None:
        tried = self._checks[name]
        self._found[name] = Finding(
            name, self._service, tried, verdict, came_back, to_do, because_of
        )


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks of one service have: `stack` closes and cleans up after them."""

    settings: Settings
    findings: Findings
    servers: RunningServers
    stack: AsyncExitStack
    on_response: OnResponse

    def client(self, service: str, base_url: str) -> ServiceClient:
        """Return a client that is closed after the checks."""
        client = ServiceClient(service, base_url, on_response=self.on_response)
        self.stack.push_async_callback(client.close)
        return client

    async def make(self, request: Coroutine[Any, Any, T]) -> T:
        """Send a request that makes something.

        A cancellation does not end it: the clean-up has to come after it at the service.
        """
        task = asyncio.create_task(request)

        async def end() -> None:
            with suppress(ServiceUnavailable, TimeoutError):
                async with asyncio.timeout(MAKE_SECONDS):
                    await task

        self.stack.push_async_callback(end)
        return await asyncio.shield(task)

    def clean_up(self, action: Callable[[], Awaitable[object]]) -> None:
        """Run `action` after the checks, also after a cancellation, for CLEAN_UP_SECONDS."""

        async def act() -> None:
            with suppress(ServiceUnavailable, TimeoutError):
                async with asyncio.timeout(CLEAN_UP_SECONDS):
                    await action()

        async def act_to_the_end() -> None:
            task = asyncio.create_task(act())
            try:
                await asyncio.shield(task)
            finally:
                await task

        self.stack.push_async_callback(act_to_the_end)


def content_of(response: ServiceResponse, service: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises ServiceUnavailable, as for no answer."""
    if response.status == 429:
        raise ServiceUnavailable(service, TOO_MANY)
    if not response.content:
        raise ServiceUnavailable(service, f"HTTP {response.status} without JSON")
    return response.content
