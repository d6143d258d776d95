"""Settings without rate limits and second operators; limits of a server in the test's process."""

import os
from collections.abc import Mapping

from core.limits import Rate
from handlers.context import Context
from handlers.limits import MAX_LOGINS, RATES, RequestLimits

NO_LIMITS = {"factor": 0}
"""Section `limits` of the settings; the limit on frames stays."""
NO_LIMITS_ENVIRONMENT = {
    "QLIVE_LIMITS__FACTOR": "0",
    "QLIVE_OPS__SECOND_PERSON_GOLD": "0",  # the demo operator is alone
}
NOT_INHERITED = ("QLIVE_", "PYTHONDONTWRITEBYTECODE")
"""Without bytecode each process would compile the product again."""


def server_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Environment of a server process without limits, and with these variables."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(NOT_INHERITED)}
    return {**inherited, **NO_LIMITS_ENVIRONMENT, **settings}


def set_limits(context: Context, *, logins: int = MAX_LOGINS, **rates: Rate) -> None:
    """Give a server limits of its own; those of other classes have their usual rates."""
    limits = RequestLimits(1, context.metrics, {**RATES, **rates}, logins)
    context.request_limits = limits
