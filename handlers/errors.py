"""HTTP-layer errors, and the mapping from every error to its status and headers."""

from collections.abc import Iterator

from tornado.httputil import HTTPInputError
from tornado.web import HTTPError

from core.errors import (
    InvalidParameter,
    NotFound,
    PermissionDenied,
    QLiveError,
    RateLimited,
    StateConflict,
    Unavailable,
)
from services.errors import LoginRefused, NotAuthenticated, SessionKeyMissing
from storage.documents import InvalidCursor
from storage.errors import storage_error
from tencent.errors import (
    ImMisconfigured,
    ImRejected,
    InvalidEncryptedData,
    InvalidWechatCode,
    UnknownApp,
)


class BadRequest(QLiveError):
    code, detail = "bad_request", "The request could not be understood."


class InvalidOperatorToken(QLiveError):
    code, detail = "ops_token", "The operators' token is missing, wrong or expired; log in again."


class CallbackRefused(PermissionDenied):
    code, detail = "callback_refused", "The callback could not be verified."


class RoleRequired(PermissionDenied):
    code, detail = "ops_role", "Your role does not permit this."


class PageNotFound(NotFound):
    code, detail = "no_such_page", "There is no such page."


class ImRefused(Unavailable):
    code = "im_refused"
    detail = "Tencent IM has refused the request; an operator has to look into it."
    retry_after = 60


class MethodNotAllowed(QLiveError):
    code, detail = "wrong_method", "This path does not support that method."


class PayloadTooLarge(QLiveError):
    code, detail = "too_large", "The request is too large."


STATUS: dict[type[QLiveError], int] = {
    BadRequest: 400,
    InvalidParameter: 400,
    UnknownApp: 400,
    InvalidEncryptedData: 400,
    NotAuthenticated: 401,
    InvalidOperatorToken: 401,
    LoginRefused: 401,
    SessionKeyMissing: 401,
    InvalidWechatCode: 401,
    PermissionDenied: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    StateConflict: 409,
    PayloadTooLarge: 413,
    RateLimited: 429,
    Unavailable: 503,
}
"""HTTP status by error class; a class without an entry has that of its nearest base."""

_TORNADO = {404: NotFound, 405: MethodNotAllowed, 413: PayloadTooLarge}


def status_of(error: type[QLiveError]) -> int:
    return next((STATUS[kind] for kind in error.__mro__ if kind in STATUS), 500)


def headers_of(error: QLiveError) -> Iterator[tuple[str, str]]:
    if status_of(type(error)) == 401:
        yield (
            "WWW-Authenticate",
            "Bearer" if isinstance(error, InvalidOperatorToken | LoginRefused) else "QLiveToken",
        )
    if isinstance(error, RateLimited | Unavailable):
        yield "Retry-After", str(error.retry_after)


def client_error(error: BaseException | None) -> QLiveError | None:
    """Return the error to report to the client; None for a bug, which is answered with 500."""
    if isinstance(error, ImRejected | ImMisconfigured):  # tencent/im.py logs it
        return ImRefused()
    if isinstance(error, QLiveError):
        return error
    if isinstance(error, InvalidCursor):
        return InvalidParameter({"after": "is not a cursor of ours"})
    if isinstance(error, HTTPError):
        return _TORNADO.get(error.status_code, BadRequest)()
    if isinstance(error, HTTPInputError):
        return BadRequest("The form could not be read.")
    return storage_error(error) if error else None
