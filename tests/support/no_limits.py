"""Settings without rate limits and second operators, for tests and load generators."""

from collections.abc import Mapping
from typing import get_args

from handlers.limits import AddressLimit, UserLimit

NO_LIMITS = dict.fromkeys(
    {*get_args(UserLimit), *get_args(AddressLimit), "logins_in_progress"} - {"handshake"}, "0"
)
"""Section `limits` of the settings; the limits on sockets stay."""


def limits_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that set limits, by name."""
    return {f"QLIVE_LIMITS__{name.upper()}": value for name, value in values.items()}


NO_LIMITS_ENVIRONMENT = {
    **limits_environment(NO_LIMITS),
    "QLIVE_IM__USER_MESSAGES": "0",  # tests poll by sending messages
    "QLIVE_OPS__SECOND_PERSON_GOLD": "0",  # the demo operator is alone
}
