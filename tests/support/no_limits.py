"""Settings without rate limits and second operators; limits of a server in the test's process."""

from core.limits import Rate
from handlers.context import Context
from handlers.limits import MAX_LOGINS, RATES, RequestLimits

NO_LIMITS = {"factor": 0}
"""Section `limits` of the settings; the limit on frames stays."""
NO_LIMITS_ENVIRONMENT = {
    "QLIVE_LIMITS__FACTOR": "0",
    "QLIVE_OPS__SECOND_PERSON_GOLD": "0",  # the demo operator is alone
}


def set_limits(context: Context, *, logins: int = MAX_LOGINS, **rates: Rate) -> None:
    """Give a server limits of its own; those of other classes have their usual rates."""
    limits = RequestLimits(1, context.metrics, {**RATES, **rates}, logins)  # type: ignore[dict-item]
    context.request_limits = limits
