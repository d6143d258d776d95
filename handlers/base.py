"""How every call is answered and refused; who may call stands in admission.py."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, get_type_hints

import structlog
from pydantic import BaseModel
from tornado.httputil import HTTPInputError, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from handlers.parameters import parameters, read
from handlers.parts import Parts
from handlers.requests import address_of, id_of
from money.refusals import Refusal as MoneyRefusal
from rooms.refusals import (
    Away,
    BadParameter,
    BadRequest,
    NoSuchThing,
    NotSignedIn,
    Refusal,
    ServiceAway,
    TooLarge,
    TooMany,
    WrongMethod,
)
from storage.database import as_refusal
from tencent.im import IMRefused

BODY_BYTES = 64 * 1024
"""The largest body that is read; what comes beyond it is thrown away and answered with 413."""
log = structlog.get_logger("qlive.http")
Method = Callable[..., Awaitable[BaseModel]]


def call(method: Method) -> Callable[..., Awaitable[None]]:
    """A method of the contract: `async def get(self, ask: SomeAsk) -> SomeAnswer`.

    Whoever calls is admitted first, then the parameters are read into the model of `ask`, and
    what the method returns is written. The two models are what the API description shows.
    """
    hints = get_type_hints(method)

    @functools.wraps(method)
    async def answer(self: "Handler", *path: str) -> None:
        with self.parts.answering():
            await answer_it(self, path)

    async def answer_it(self: "Handler", path: tuple[str, ...]) -> None:
        await self.admit()
        sent = self.parameters()
        if "live_id" in sent:
            structlog.contextvars.bind_contextvars(live_id=str(sent["live_id"])[:16])
        asked = [read(hints["ask"], sent)] if "ask" in hints else []
        model = await method(self, *path, *asked)
        await self.done()
        self.write_model(model)

    answer.asks, answer.answers = hints.get("ask"), hints["return"]  # type: ignore[attr-defined]
    return answer


@stream_request_body
class Handler(RequestHandler):
    """One path. Refusals raised anywhere below become the envelope {"detail", "code"}."""

    keeps_blanks = False
    """Whether "" is a value; the contract's own calls take it for not sent."""
    soft_refusals: ClassVar[dict[type[Exception], str]] = {}
    """Refusals that the contract answers with 200 and this field set to "failed"."""

    def __init__(self, application: Application, request: HTTPServerRequest, **kw: Any) -> None:
        self._body = bytearray()
        self._body_size = 0
        self.request_id = id_of(request)
        super().__init__(application, request, **kw)

    def initialize(self, parts: Parts) -> None:
        self.parts = parts

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Request-Id", self.request_id)
        self.clear_header("Server")

    def prepare(self) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)

    def compute_etag(self) -> None:
        """None: nobody may keep an answer, so nobody can ask whether it is still the same."""

    def data_received(self, chunk: bytes) -> None:
        self._body_size += len(chunk)
        if self._body_size <= BODY_BYTES:
            self._body += chunk

    async def admit(self) -> None:
        """Refuse whoever may not call this; here everybody may."""

    async def done(self) -> None:
        """What was asked for has been carried out; called before the answer is written."""

    def parameters(self) -> dict[str, Any]:
        """Query string and body together; the body wins."""
        if self._body_size > BODY_BYTES:
            raise TooLarge
        sent = parameters(self.request, bytes(self._body))
        return {name: value for name, value in sent.items() if value != "" or self.keeps_blanks}

    def write_model(self, answer: BaseModel) -> None:
        self.finish(answer.model_dump_json(by_alias=True, exclude_unset=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's call
        error = kwargs.get("exc_info", (None, None, None))[1]
        refusal = self._refusal(error)
        if refusal is None:
            self.set_status(500)
            self.finish({"detail": "Something went wrong on our side.", "code": "internal"})
            return
        body: dict[str, Any] = {"detail": refusal.detail, "code": refusal.code}
        if field := self.soft_refusals.get(type(refusal)):
            self.set_status(200)
            self.finish({field: "failed", **body})
            return
        structlog.contextvars.bind_contextvars(refusal=refusal.code)
        self.set_status(refusal.status)
        if isinstance(refusal, BadParameter):
            body["fields"] = refusal.fields
        self._set_refusal_headers(refusal)
        self.finish(body)

    def log_exception(self, *exc_info: Any) -> None:
        """Refusals are answers, and callers hang up; only what nobody foresaw is an error with
        its trace."""
        if isinstance(exc_info[1], StreamClosedError):
            log.info("hung_up", path=self.request.path)
        elif self._refusal(exc_info[1]) is None:
            log.error("failed", path=self.request.path, exc_info=exc_info)

    def on_finish(self) -> None:
        route = type(self).__name__
        status, seconds = self.get_status(), self.request.request_time()
        method = self.request.method if self.request.method in self.SUPPORTED_METHODS else "other"
        self.parts.metrics.requests.labels(route, method, status).inc()
        self.parts.metrics.request_seconds.labels(route).observe(seconds)
        log.info(
            "answered",
            method=self.request.method,
            path=self.request.path,
            status=status,
            ms=round(seconds * 1000, 1),
        )

    @property
    def caller(self) -> str:
        """The caller's address."""
        return address_of(self.request, self.parts.settings.server.trusted_proxies)

    @property
    def scheme(self) -> str:
        """As the caller sees it: a trusted proxy in front says what it speaks."""
        if self.request.remote_ip in self.parts.settings.server.trusted_proxies:
            said = self.request.headers.get("X-Forwarded-Proto", "")
            if said in ("http", "https"):
                return said
        return self.request.protocol

    def _refusal(self, error: BaseException | None) -> Refusal | MoneyRefusal | None:
        if isinstance(error, Refusal | MoneyRefusal):
            return error
        if isinstance(error, IMRefused):  # a wrong key or a mistake of ours; tencent/im.py says it
            return ServiceAway("im")
        if isinstance(error, HTTPError):
            known = {404: NoSuchThing, 405: WrongMethod, 413: TooLarge}
            return known.get(error.status_code, BadRequest)()
        if isinstance(error, HTTPInputError):
            return BadRequest("The form could not be read.")
        return as_refusal(error) if error else None

    def _set_refusal_headers(self, refusal: Refusal | MoneyRefusal) -> None:
        if isinstance(refusal, NotSignedIn):
            self.set_header("WWW-Authenticate", refusal.scheme)
        if isinstance(refusal, TooMany | Away):
            self.set_header("Retry-After", str(refusal.retry_after))
        if isinstance(refusal, WrongMethod):
            names = ("get", "post", "patch", "delete")
            has = [n.upper() for n in names if getattr(type(self), n) is not getattr(Handler, n)]
            self.set_header("Allow", ", ".join(has))


class Missing(Handler):
    """Every path that is not ours; said once the body is read, or the connection would close."""

    async def _missing(self) -> None:
        raise NoSuchThing("There is no such path.")

    get = head = post = delete = patch = put = options = _missing


async def failure_of(work: Awaitable[object]) -> Exception | None:
    """What went wrong, where there is no answer left in which to say so."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a socket always hears why it ends
        return error
    return None
