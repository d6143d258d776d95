"""One entry of the routing table."""

from typing import NamedTuple

from handlers.base import Handler
from services.roles import Access


class Route(NamedTuple):
    """`path` is a regular expression; `name` is public and must not change.

    The name with the method appended is the operation id in the OpenAPI document; its last part is
    the `route` label in the metrics and the endpoint's name in the audit log. `read` and `change`
    are what GET and the other methods require of an operator.
    """

    path: str
    handler: type[Handler]
    name: str
    read: Access | None = None
    change: Access | None = None

    def access(self, method: str) -> Access | None:
        return self.read if method.upper() == "GET" else self.change

    def under(self, prefix: str) -> "Route":
        return self._replace(path=prefix + self.path)

    @property
    def label(self) -> str:
        return self.name.rpartition(".")[2]
