"""Static files, the operators' console, and the API documentation under /docs/.

Nothing is loaded from other hosts. The generators of the documents are imported on the first
request: they cost a fifth of the time and memory of a start.
"""

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

from handlers.base import Handler, Route
from handlers.context import Context
from handlers.websocket.handshake import RoomSocketHandler

WEB = Path(__file__).resolve().parent.parent / "web"
DIRECTORY = Path(__file__).parent / "openapi"
ASSETS = r"(swagger-ui\.css|swagger-ui-bundle\.js|favicon-32x32\.png)"
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",  # Swagger UI's style sheet embeds its icons
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content security policy of the documentation."""
CONSOLE_POLICY = POLICY.replace("data:", "data: https: http:")
"""Policy of the console, whose images of faces, covers and gifts may be on any host."""
HTML, STYLE = "text/html; charset=utf-8", "text/css; charset=utf-8"
SCRIPT, JSON = "text/javascript; charset=utf-8", "application/json; charset=utf-8"


class StaticHandler(StaticFileHandler):
    """Images of faces and gifts, and pages."""

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:  # noqa: ARG002
        """Replace NUL and undecodable bytes, which no file name has, by U+FFFD."""
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


class DocumentHandler(Handler):
    """Serves one generated text under the documentation's content security policy."""

    label = "Written"

    def initialize(  # type: ignore[override]  # routed by `pages` alone
        self, context: Context, kind: str, text: Callable[[], str]
    ) -> None:
        super().initialize(context)
        self._kind, self._text = kind, text

    async def get(self) -> None:
        self.set_header("Content-Type", self._kind)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        await self.finish(self._text())


def pages(routes: tuple[Route, ...], context: Context, intro: str) -> list[Any]:
    """Return Tornado routes under /docs/ that document `routes`."""

    def socket_page() -> str:
        from handlers.openapi import asyncapi

        return asyncapi.page(asyncapi_document(routes))

    # Found without an import, which would import Flask.
    swagger_ui = importlib.util.find_spec("flask_swagger_ui")
    assert swagger_ui, "requirements.txt names it"
    assert swagger_ui.origin
    assets = Path(swagger_ui.origin).parent / "dist"
    documents: list[tuple[str, str, Callable[[], str]]] = [
        (r"/docs/?", HTML, (DIRECTORY / "page.html").read_text),
        (r"/docs/start\.js", SCRIPT, script),
        (r"/docs/openapi\.json", JSON, lambda: openapi_text(routes, intro)),
        (r"/docs/asyncapi\.json", JSON, lambda: _json(asyncapi_document(routes))),
        (r"/docs/socket\.css", STYLE, (DIRECTORY / "socket.css").read_text),
        (r"/docs/socket/?", HTML, socket_page),
    ]
    return [
        *[
            (path, DocumentHandler, {"context": context, "kind": kind, "text": text})
            for path, kind, text in documents
        ],
        (rf"/docs/{ASSETS}", StaticHandler, {"path": str(assets)}),
    ]


def script() -> str:
    """Return start.js, preceded by the placeholder examples that it replaces."""
    from handlers.openapi.schemas import PLACEHOLDERS

    examples = json.dumps(PLACEHOLDERS, ensure_ascii=False)
    return f"const EXAMPLES = {examples};\n{(DIRECTORY / 'start.js').read_text()}"


@functools.cache
def openapi_text(routes: tuple[Route, ...], intro: str = "") -> str:
    """Return the OpenAPI document as JSON; generating it takes 70 ms."""
    from handlers.openapi import openapi_document

    return _json(openapi_document.document(routes, intro))


@functools.cache
def asyncapi_document(routes: tuple[Route, ...]) -> dict[str, Any]:
    from handlers.openapi import asyncapi

    path = next(route.path for route in routes if route.handler is RoomSocketHandler)
    return asyncapi.document(path)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1)
