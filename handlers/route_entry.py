"""One entry of the routing table."""

from typing import NamedTuple

from handlers.base import Handler


class Route(NamedTuple):
    """`path` is a regular expression; `name` is public and must not change.

    The name with the method appended is the operation id in the OpenAPI document; its last part is
    the `route` label in the metrics and the endpoint's name in the audit log.
    """

    path: str
    handler: type[Handler]
    name: str

    def under(self, prefix: str) -> "Route":
        return self._replace(path=prefix + self.path)

    @property
    def label(self) -> str:
        return self.name.rpartition(".")[2]
