"""Base handlers: parameters, responses, errors as JSON envelope, and the user of a token."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from types import NoneType
from typing import Any, ClassVar, NamedTuple, cast, get_type_hints

import structlog
from pydantic import BaseModel
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body

from core.errors import InvalidParameter, QLiveError
from handlers.context import Context
from handlers.errors import MethodNotAllowed, PayloadTooLarge, client_error, headers_of, status_of
from handlers.limits import LimitClass
from handlers.models import NoContentResponse, OkResponse, TextResponse
from handlers.request_data import (
    bearer_token,
    limit_key,
    parameters,
    read,
    refuse_unknown,
    remote_ip,
    request_id,
)
from services.errors import AccountBanned, NotAuthenticated
from services.operators.roles import Access
from storage.accounts.users import User

MAX_BODY_BYTES = 64 * 1024
"""Maximum request body; the excess is discarded on arrival and the request answered with 413."""
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response; a handler may replace them."""
LOGGED_PATH = 200
"""Number of characters of a path that are logged; nothing else limits the path of a 404."""
log = structlog.get_logger("qlive.http")
Method = Callable[..., Awaitable[BaseModel | None]]
HttpMethod = Callable[..., Awaitable[None] | None]


def endpoint(
    *,
    limit: LimitClass | None = None,
    errors: Sequence[type[QLiveError] | QLiveError] = (),
) -> Callable[[Method], Callable[..., Awaitable[None]]]:
    """Turn `async def get(self, params: SomeRequest) -> SomeResponse` into an HTTP method.

    The wrapper authorizes the request within the rate limits of `limit`, validates its parameters
    with the model of `params` and writes the returned model as JSON, or OkResponse for None. The
    OpenAPI document is generated from the models, `limit` and `errors`: what the method may raise
    in addition to the errors common to all endpoints of its kind.
    """

    def decorate(method: Method) -> Callable[..., Awaitable[None]]:
        hints = get_type_hints(method)
        response = OkResponse if hints["return"] is NoneType else hints["return"]

        @functools.wraps(method)
        async def wrapper(self: "Handler", *path: str) -> None:
            self.limit = limit
            self.context.lifecycle.requests += 1
            try:
                await self.authorize()
                params = self.parameters()
                if "live_id" in params:
                    structlog.contextvars.bind_contextvars(live_id=str(params["live_id"])[:16])
                if self.common_fields is not None:
                    refuse_unknown(hints.get("params"), params.keys() - self.common_fields)
                arguments = [read(hints["params"], params)] if "params" in hints else []
                model = await method(self, *path, *arguments)
                await self.done()
                self.write_model(OkResponse() if model is None else model)
            finally:
                self.context.lifecycle.requests -= 1
                if self._counted_for:
                    self.context.request_limits.end(self._counted_for)

        described: Any = wrapper
        described.call = CallDescription(hints.get("params"), response, limit, tuple(errors))
        return wrapper

    return decorate


class CallDescription(NamedTuple):
    """Description of a method for the OpenAPI document: models, limit and possible errors."""

    request: Any
    """Request model; None if the handler reads nothing or parses by itself."""
    response: Any
    """Response model, or a union of them; NoReturn if every request is refused."""
    limit: LimitClass | None
    errors: Sequence[type[QLiveError] | QLiveError]
    """Errors in addition to those common to the handler's class."""


@stream_request_body
class Handler(RequestHandler):
    """Base HTTP handler; every exception becomes the envelope {"detail", "code"}."""

    label = ""
    """Name in the metrics and in the audit log: that of the route, if it has one."""
    common_fields: ClassVar[frozenset[str] | None] = None
    """Fields of every call, beside those of its model; any other is an error. None: ignore it."""
    keep_blank_values = False
    """Whether "" is a value; by default, as in the API contract, it counts as not sent."""
    authorization_errors: ClassVar[Sequence[type[QLiveError]]] = ()
    """Errors that `authorize` may raise, for the OpenAPI document."""
    limit: LimitClass | None = None
    """Rate limit of the method in progress."""
    body_bytes = MAX_BODY_BYTES
    """Longest body that is read."""
    _counted_for = ""
    """The user, or the address of a login, for which the request counts as in progress."""
    soft_errors: ClassVar[dict[type[QLiveError], str]] = {}
    """Errors that the API contract answers with 200 and this field set to "failed"."""

    def __init__(self, application: Application, request: HTTPServerRequest, **kw: Any) -> None:
        self._body = bytearray()
        self._body_size = 0
        self.request_id = request_id(request)
        # Here, because `prepare` is not called for a request with an unknown method.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        super().__init__(application, request, **kw)

    def initialize(self, context: Context, route: "Route | None" = None) -> None:
        """`route`: None for a handler outside the routing table."""
        self.context, self.route = context, route
        if route:
            self.label = route.label

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.set_header("X-Request-Id", self.request_id)

    def compute_etag(self) -> None:
        """Disables ETags, since every response is `no-store`."""

    def data_received(self, chunk: bytes) -> None:
        self._body_size += len(chunk)
        if self._body_size <= self.body_bytes:
            self._body += chunk

    async def authorize(self) -> None:
        """Authenticate and authorize; the base class allows all within the limit of an address."""
        if self.limit == "login":
            address = limit_key(self.remote_ip)
            self.context.request_limits.begin_login(address)
            self._counted_for = address
        elif self.limit:
            self.limit_address(self.limit)

    def limit_address(self, limit: LimitClass) -> None:
        """Count a request without a valid token for its address; may raise RateLimited."""
        self.context.request_limits.count_address(limit, limit_key(self.remote_ip))

    def limit_user(self, user_id: str) -> None:
        """Count the request for its user until it is answered; may raise RateLimited."""
        if self.limit:
            self.context.request_limits.begin(self.limit, user_id)
            self._counted_for = user_id

    async def done(self) -> None:
        """Run after the endpoint method succeeded, before its response is written (a hook)."""

    def parameters(self) -> dict[str, Any]:
        """Query string and body merged, the body wins. Raises as `request_data.parameters`."""
        if self._body_size > self.body_bytes:
            raise PayloadTooLarge
        params = parameters(self.request, bytes(self._body))
        return {
            name: value for name, value in params.items() if value != "" or self.keep_blank_values
        }

    def write_model(self, answer: BaseModel) -> None:
        match answer:
            case TextResponse():
                self.set_header("Content-Type", answer.media_type)
                self.finish(answer.text)
            case NoContentResponse():
                self.set_status(204)
                self.clear_header("Content-Type")
                self.finish()
            case _:
                self.finish(answer.model_dump_json(by_alias=True))

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - Tornado's API
        error = client_error(kwargs.get("exc_info", (None, None, None))[1])
        if error is None:
            self.set_status(500)
            self.finish({"detail": QLiveError.detail, "code": QLiveError.code})
            return
        body: dict[str, Any] = {"detail": error.detail, "code": error.code}
        if field := self.soft_errors.get(type(error)):
            self.set_status(200)
            self.finish({field: "failed", **body})
            return
        structlog.contextvars.bind_contextvars(refusal=error.code)
        self.set_status(status_of(type(error)))
        if isinstance(error, InvalidParameter):
            body["fields"] = error.fields
        for name, value in headers_of(error):
            self.set_header(name, value)
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", ", ".join(methods_of(type(self))).upper())
        self.finish(body)

    def log_exception(self, *exc_info: Any) -> None:
        """Log a bug with its traceback, a client disconnect as info, other errors not at all."""
        if isinstance(exc_info[1], StreamClosedError):
            log.info("client_disconnected", path=self.request.path[:LOGGED_PATH])
        elif client_error(exc_info[1]) is None:
            log.error("request_failed", path=self.request.path[:LOGGED_PATH], exc_info=exc_info)

    def on_finish(self) -> None:
        route = self.label
        status, seconds = self.get_status(), self.request.request_time()
        method = self.request.method if self.request.method in self.SUPPORTED_METHODS else "other"
        self.context.metrics.count_request(route, method, status)
        if status == 429:  # a flood must not flood the log: limits.py logs it
            return
        self.context.metrics.observe_request(route, seconds)
        log.info(
            "request_completed",
            method=method,
            path=self.request.path[:LOGGED_PATH],
            status=status,
            ms=round(seconds * 1000, 1),
        )

    @property
    def remote_ip(self) -> str:
        """The client's IP address, also behind trusted proxies."""
        return remote_ip(self.request, self.context.settings.server.trusted_proxies)

    async def _wrong_method(self, *_path: str) -> None:
        self.limit_address("anonymous")
        raise MethodNotAllowed

    get = head = post = delete = patch = put = options = cast(HttpMethod, _wrong_method)


class ActiveUserHandler(Handler):
    """Requires a valid token and refuses banned accounts; sets `token`, `user_id` and `user`."""

    authorization_errors: ClassVar[Sequence[type[QLiveError]]] = (NotAuthenticated, AccountBanned)
    read_only: ClassVar[bool] = False
    """Whether the endpoint has no side effects: its token may be looked up in the cache."""

    loads_user: ClassVar[bool] = True
    """If False, the method of a `read_only` endpoint reads the user and checks it by `active`."""

    token: str
    user_id: str
    user: User

    async def authorize(self) -> None:
        self.token = bearer_token(self.request)
        stores, sessions = self.context.stores, self.context.services.accounts.sessions
        if self.read_only:
            user_id = await sessions.cached_user_id(self.token) if self.token else None
            self._set_user_id(user_id)
            if user_id and not self.loads_user:
                return
            user = await stores.users.find(user_id) if user_id else None
        else:
            user = await stores.tokens.user_of(self.token) if self.token else None
            self._set_user_id(user.user_id if user else None)
        self.user = await self.active(user)

    async def active(self, user: User | None) -> User:
        """Return the user of the token. Raises as SessionService.check_active."""
        return await self.context.services.accounts.sessions.check_active(user, self.token)

    def check_other(self, user_id: str, reason: str = "this is you") -> None:
        """Check that the user is not the caller. Raises InvalidParameter."""
        if user_id == self.user_id:
            raise InvalidParameter({"user_id": reason})

    def _set_user_id(self, user_id: str | None) -> None:
        """Set `user_id` and count the request for it, or for the address if it is None."""
        if user_id is None:
            self.limit_address("anonymous")
            return
        self.limit_user(user_id)
        self.user_id = user_id
        structlog.contextvars.bind_contextvars(user_id=user_id)


def methods_of(handler: type[Handler]) -> list[str]:
    """Return the HTTP methods that the class defines, in lower case."""
    names = ("get", "post", "patch", "delete")
    return [name for name in names if getattr(handler, name) is not getattr(Handler, name)]


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
