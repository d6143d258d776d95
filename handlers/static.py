"""Files of web/, with refusals in the envelope like everybody else's."""

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

WEB = Path(__file__).resolve().parent.parent / "web"


class Static(StaticFileHandler):
    """Faces, gifts and pages."""

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        known = {404: "no_such_thing", 405: "wrong_method"}
        code = known.get(status_code, "bad_request")
        self.finish({"detail": "There is no such file.", "code": code})
