"""Static files of web/, with errors in the JSON envelope."""

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

WEB = Path(__file__).resolve().parent.parent / "web"
CONSOLE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: https:",  # face and gift images may be on any host
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class StaticHandler(StaticFileHandler):
    """Face and gift images, and pages."""

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:  # noqa: ARG002
        """What no file name has, NUL and undecodable bytes, becomes a character of no file here."""
        return value.decode("utf-8", "replace").replace("\0", "\ufffd")

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        known = {404: "no_such_thing", 405: "wrong_method"}
        code = known.get(status_code, "bad_request")
        self.finish({"detail": "There is no such file.", "code": code})


class ConsoleHandler(StaticHandler):
    """The operators' console; its CSP admits scripts of this origin only."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's API
        self.set_header("Cache-Control", "no-cache")  # all its modules must be of one version
        self.set_header("Content-Security-Policy", CONSOLE_POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
