"""Settings without rate limits, for tests and load generators."""

from typing import get_args

from handlers.limits import AddressLimit, UserLimit

NO_LIMITS = dict.fromkeys((*get_args(UserLimit), *get_args(AddressLimit)), "0")
"""Section `limits` of the settings; the limits on sockets stay."""
NO_LIMITS_ENVIRONMENT = {
    f"QLIVE_LIMITS__{name.upper()}": value for name, value in NO_LIMITS.items()
}
