"""Files of web/, with refusals in the envelope like everybody else's."""

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

WEB = Path(__file__).resolve().parent.parent / "web"
CONSOLE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: https:",  # faces and gifts stand wherever somebody put them
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class Static(StaticFileHandler):
    """Faces, gifts and pages."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        known = {404: "no_such_thing", 405: "wrong_method"}
        code = known.get(status_code, "bad_request")
        self.finish({"detail": "There is no such file.", "code": code})


class Console(Static):
    """The operators' console: nothing runs in it but its own files."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's call
        self.set_header("Cache-Control", "no-cache")  # its modules are of one version
        self.set_header("Content-Security-Policy", CONSOLE_POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
