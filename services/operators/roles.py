"""Roles of operators, and what each of them includes."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Role = Literal["viewer", "moderator", "finance", "admin"]
"""Roles of people."""
Access = Literal["machine", "viewer", "moderator", "finance", "admin"]
"""Access that a route may require; `machine`, the least, is granted by `ops.token`."""
ROLES: tuple[Role, ...] = get_args(Role)
INCLUDED: Mapping[Access, frozenset[Access]] = {
    "machine": frozenset({"machine"}),
    "viewer": frozenset({"machine", "viewer"}),
    "moderator": frozenset({"machine", "viewer", "moderator"}),
    "finance": frozenset({"machine", "viewer", "finance"}),
    "admin": frozenset(get_args(Access)),
}


class Operator(NamedTuple):
    """Sender of a request to the operators' API."""

    name: str
    role: Access

    def may(self, access: Access) -> bool:
        """Return whether the role includes `access`; a role of a later release includes nothing."""
        return access in INCLUDED.get(self.role, ())
