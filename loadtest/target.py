"""The deployment under test, and what is refused as one."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.errors import StartupError


@dataclass(frozen=True, slots=True)
class Target:
    """Where a deployment listens; `tls` is None for http."""

    host: str
    port: int
    authority: str
    """Host and port as in the URL, for the Host header."""
    tls: ssl.SSLContext | None = field(repr=False)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def target_of(url: str) -> Target:
    """The target of a URL like https://live.example.com. Raises StartupError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise StartupError(f"{url} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StartupError(f"{url} must be a URL like https://live.example.com.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise StartupError(f"{url} must be scheme, host and port only.")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Target(parts.hostname, port or (443 if tls else 80), parts.netloc, tls)
