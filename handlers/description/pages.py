"""/docs/: the description for people and for programs, with nothing from any other host.

What makes the documents is imported when they are first asked for: a fifth of the time and memory
of a start.
"""

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handlers.base import Handler
from handlers.description.calls import Route
from handlers.parts import Parts
from handlers.socket import RoomSocket
from handlers.static import Static

HERE = Path(__file__).parent
ASSETS = r"(swagger-ui\.css|swagger-ui-bundle\.js|favicon-32x32\.png)"
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",  # its icons are inside its style sheet
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HTML, STYLE = "text/html; charset=utf-8", "text/css; charset=utf-8"
SCRIPT, JSON = "text/javascript; charset=utf-8", "application/json; charset=utf-8"


class Written(Handler):
    """One text, made when somebody first asks for it."""

    def initialize(self, parts: Parts, kind: str = "", text: Callable[[], str] = str) -> None:
        super().initialize(parts)
        self._kind, self._text = kind, text

    async def get(self) -> None:
        self.set_header("Content-Type", self._kind)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        await self.finish(self._text())


def pages(routes: tuple[Route, ...], parts: Parts) -> list[Any]:
    """The routes under /docs/, about these routes."""
    with_simulator = parts.simulator is not None
    texts: list[tuple[str, str, Callable[[], str]]] = [
        (r"/docs/?", HTML, (HERE / "page.html").read_text),
        (r"/docs/start\.js", SCRIPT, script),
        (r"/docs/openapi\.json", JSON, lambda: openapi_text(routes, with_simulator=with_simulator)),
        (r"/docs/asyncapi\.json", JSON, lambda: asyncapi_text(routes)),
        (r"/docs/socket\.css", STYLE, (HERE / "socket.css").read_text),
        (r"/docs/socket/?", HTML, lambda: socket_text(routes)),
    ]
    return [
        *[(path, Written, {"parts": parts, "kind": kind, "text": t}) for path, kind, t in texts],
        (rf"/docs/{ASSETS}", Static, {"path": str(assets())}),
    ]


def script() -> str:
    """It knows the examples that it is to fill in."""
    from handlers.description.examples import FROM_ANSWERS

    known = json.dumps(FROM_ANSWERS, ensure_ascii=False)
    return f"const EXAMPLES = {known};\n{(HERE / 'start.js').read_text()}"


@functools.cache
def openapi_text(routes: tuple[Route, ...], *, with_simulator: bool) -> str:
    """70 ms the first time."""
    from handlers.description import openapi

    return openapi.text(openapi.document(routes, with_simulator=with_simulator))


@functools.cache
def asyncapi_document(routes: tuple[Route, ...]) -> dict[str, Any]:
    from handlers.description import asyncapi

    return asyncapi.document(next(path for path, handler in routes if handler is RoomSocket))


def socket_text(routes: tuple[Route, ...]) -> str:
    from handlers.description import socket_page

    return socket_page.page(asyncapi_document(routes))


def asyncapi_text(routes: tuple[Route, ...]) -> str:
    return json.dumps(asyncapi_document(routes), ensure_ascii=False, indent=1)


@functools.cache
def assets() -> Path:
    """Swagger UI's own files. The package is found, not imported: that would import Flask."""
    found = importlib.util.find_spec("flask_swagger_ui")
    assert found, "requirements.txt names it"
    assert found.origin
    return Path(found.origin).parent / "dist"
