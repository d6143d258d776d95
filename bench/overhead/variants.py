"""Variants of a running server, which differ in one thing each."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from bench.overhead.patches import Patch, Replacements
from config.settings import Settings
from core.batching import BatchLoader
from devtools.no_limits import NO_LIMITS
from handlers import remote
from handlers.auth import ActiveUserHandler
from handlers.base import Handler
from handlers.context import Context
from handlers.limits import RequestLimits
from handlers.traced_call import TracedCall
from telemetry.traces import Traces

LIMIT_REPEATS, TRACE_REPEATS = 200, 1000
SHIPPED = "shipped"
"""With rate limits that no request reaches, and with traces off."""
UNLIMITED = "unlimited"
UNTRACED = "untraced"
"""Without the code of traces on the path of a read."""
TRACED = "traced"
"""As shipped, and with a span for each request, which is dropped in the thread that sends spans."""
LIMITS_REPEATED = "limits repeated"
"""Each request passes the limits LIMIT_REPEATS times more."""
LIMITS_REPEATED_AGAIN = "limits repeated, compiled again"
UNLIMITED_REPEATED = "unlimited repeated"
"""As LIMITS_REPEATED, with limits that are off."""
TRACES_REPEATED = "traces repeated"
"""What traces that are off do in a request is done TRACE_REPEATS times more."""
TRACES_EMPTY = "traces empty"
"""As TRACES_REPEATED, with nothing in the loops."""

Code = tuple[Any, str, Replacements]
"""Owner, name, and what is replaced."""
CALL = "self._call = context.start_call(request) if context.start_call else None"
TRACE_ID = 'self._call.trace_id if self._call else ""'
CONTEXT, BEGIN, END = (
    "self._context = copy_context()",
    "if self._call:\n            self._call.begin(self.label, self.request_id)",
    "if self._call:\n            self._call.end(status)",
)
UNTRACED_CODE: tuple[Code, ...] = (
    (
        Handler,
        "__init__",
        (
            ('        context: Context = kw["context"]\n', ""),
            (f"        {CALL}\n", ""),
            (f", {TRACE_ID}", ""),
        ),
    ),
    (Handler, "prepare", ((f"        {BEGIN}\n", ""),)),
    (Handler, "on_finish", ((f"        {END}\n", ""),)),
    (remote, "request_id", ((" or trace_id or ", " or "),)),
    (BatchLoader, "_request", ((f"            {CONTEXT}\n", ""),)),
    (BatchLoader, "_start", ((", context=self._context", ""),)),
)
"""Where traces enter the path of a read."""
LIMITS_LINE = "        waited = await self.admission.limit_user(user_id)\n"
LIMITS_LOOP = f"""\
        for _ in range({LIMIT_REPEATS}):
            admission = type(self.admission)(
                self.context.request_limits, self.context.refusal_delay
            )
            admission.limit_address("read", self.remote_ip)
            await admission.limit_user(user_id)
            admission.release()
            del admission  # what it holds is made again, as for a request
"""
REPEATED_LIMITS_CODE: Code = (
    ActiveUserHandler,
    "_admit_user_id",
    ((LIMITS_LINE, LIMITS_LOOP + LIMITS_LINE),),
)


class DroppingExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the SDK's interface
        return SpanExportResult.SUCCESS


class Variants:
    """Switches the process between variants; the server has limits that no request reaches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = context.request_limits
        unlimited = Settings.model_validate({"limits": NO_LIMITS}).limits
        self._no_limits = RequestLimits(unlimited, context.metrics)
        self._start_call = functools.partial(TracedCall, Traces(DroppingExporter(), 1, "bench"))
        self._patches: dict[str, Sequence[Patch]] = {
            SHIPPED: (),
            UNLIMITED: (),
            TRACED: (),
            UNTRACED: [Patch(*code) for code in UNTRACED_CODE],
            LIMITS_REPEATED: [Patch(*REPEATED_LIMITS_CODE)],
            LIMITS_REPEATED_AGAIN: [Patch(*REPEATED_LIMITS_CODE)],
            UNLIMITED_REPEATED: [Patch(*REPEATED_LIMITS_CODE)],
            TRACES_REPEATED: _repeated(lambda code: code),
            TRACES_EMPTY: _repeated(lambda _code: "pass"),
        }
        self._applied: Sequence[Patch] = ()

    def switch(self, name: str) -> None:
        for patch in self._applied:
            patch.undo()
        is_unlimited = name in (UNLIMITED, UNLIMITED_REPEATED)
        self._context.request_limits = self._no_limits if is_unlimited else self._limits
        self._context.start_call = self._start_call if name == TRACED else None
        self._applied = self._patches[name]
        for patch in self._applied:
            patch.apply()


def _repeated(body: Callable[[str], str]) -> list[Patch]:
    """The code of traces once, and then `body` of it in a loop."""

    def replacement(code: str, looped: str = "", indent: str = " " * 8) -> tuple[str, str]:
        lines = body(looped or code).replace("\n", "\n    ")
        loop = f"{indent}for _ in range({TRACE_REPEATS}):\n{indent}    {lines}\n"
        return f"{indent}{code}\n", f"{indent}{code}\n{loop}"

    return [
        Patch(Handler, "__init__", (replacement(CALL, f"{CALL}\n        {TRACE_ID}"),)),
        Patch(Handler, "prepare", (replacement(BEGIN),)),
        Patch(Handler, "on_finish", (replacement(END),)),
        Patch(BatchLoader, "_request", (replacement(CONTEXT, indent=" " * 12),)),
    ]
