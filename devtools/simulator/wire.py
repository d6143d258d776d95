"""Framework-independent HTTP requests and replies of the simulator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SimulatorRequest:
    """One HTTP request; `path` is without the simulator's prefix, `query` is decoded."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return the header by case-insensitive name, or ""."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")

    def json_object(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, or None."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None


NO_ANSWER = 0
"""Status of a reply that is none: the connection is closed."""


@dataclass(frozen=True, slots=True)
class SimulatorReply:
    status: int
    headers: dict[str, str]
    body: bytes


def json_reply(
    content: Mapping[str, Any], status: int = 200, content_type: str = "application/json"
) -> SimulatorReply:
    body = json.dumps(content, ensure_ascii=False).encode()
    return SimulatorReply(status, {"Content-Type": content_type}, body)
