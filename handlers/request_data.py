"""Data of a request: parameters, address of the client, id, token."""

import functools
import ipaddress
import json
import re
import uuid
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError
from tornado.httputil import HTTPServerRequest, parse_body_arguments

from core.errors import InvalidParameter
from handlers.errors import BadRequest

MAX_JSON_DEPTH = 32
"""Maximum nesting of a JSON body. Some is stored and serialized again: pydantic allows 255."""

_REASONS = {
    "missing": "this is required",
    "string_pattern_mismatch": "this does not have the right form",
    "int_parsing": "this must be a whole number",
    "int_type": "this must be a whole number",
    "string_type": "this must be text",
    "bool_parsing": "this must be true or false",
    "bool_type": "this must be true or false",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT = re.compile(r"^(?:(\d{1,3}(?:\.\d{1,3}){3}):\d+|\[([^\]]*)\](?::\d+)?)$")
"""IPv4 with a port, and IPv6 in brackets, with or without; the groups are the address."""
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def parameters(request: HTTPServerRequest, body: bytes) -> dict[str, Any]:
    """Merge query string and body; the body wins. Raises BadRequest or InvalidParameter."""
    query = texts(request.query_arguments)
    content_type = request.headers.get("Content-Type", "")
    # curl labels JSON as a form too, but no form begins with a brace.
    if not content_type.startswith(FORMS) or body.lstrip().startswith(b"{"):
        return query | _json(body)
    fields: dict[str, list[bytes]] = {}
    parse_body_arguments(content_type, body, fields, {})
    return query | texts(fields)


def read(model: type[BaseModel], params: dict[str, Any]) -> BaseModel:
    """Validate the parameters with the model. Raises InvalidParameter."""
    try:
        return model.model_validate(params)
    except ValidationError as error:
        reasons = {
            ".".join(str(part) for part in problem["loc"]) or "body": _reason(problem)
            for problem in error.errors(include_url=False, include_input=False)
        }
        raise InvalidParameter(reasons) from None


def refuse_unknown(model: type[BaseModel] | None, params: Collection[str]) -> None:
    """Raise InvalidParameter for each parameter that the model lacks; None has no field."""
    fields = model.model_fields if model else {}
    if unknown := {*params} - {field.alias or name for name, field in fields.items()}:
        raise InvalidParameter(dict.fromkeys(sorted(unknown), "this call has no such field"))


def texts(arguments: dict[str, list[bytes]]) -> dict[str, Any]:
    """Return the last value of each argument. Raises InvalidParameter if it is not UTF-8."""
    decoded = {}
    for name, values in arguments.items():
        try:
            decoded[name] = values[-1].decode()
        except UnicodeDecodeError:
            raise InvalidParameter({name: "this is not UTF-8"}) from None
    return decoded


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        content = json.loads(body)
        _check_nesting(content)
        # Refuses what could not be encoded again: NaN, infinities, lone surrogates.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(content, dict):
        raise BadRequest("The body is not a JSON object.")
    return content


def _check_nesting(value: Any, levels_left: int = MAX_JSON_DEPTH) -> None:
    if not levels_left:
        raise ValueError("nested too deeply")
    children = value.values() if isinstance(value, dict) else value
    for item in children if isinstance(value, dict | list) else ():
        _check_nesting(item, levels_left - 1)


def _reason(problem: Any) -> str:
    """Return a readable message for one field; pydantic's wording of limits is kept."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    for subject in ("Input", "String"):
        message = message.replace(f"{subject} should", "this should")
    return _REASONS.get(problem["type"], message)


def remote_ip(request: HTTPServerRequest, trusted: Collection[str]) -> str:
    """Return the client's IP address.

    It is the rightmost in X-Forwarded-For that is not a trusted proxy. Some proxies append the
    port, which is another one for every connection.
    """
    forwarded = request.headers.get("X-Forwarded-For")
    if not forwarded:
        return request.remote_ip or ""
    parts = (_PORT.sub(r"\1\2", part.strip()) for part in forwarded.split(","))
    addresses = [*filter(None, parts), request.remote_ip or ""]
    while len(addresses) > 1 and addresses[-1] in trusted:
        addresses.pop()
    return addresses[-1]


@functools.lru_cache(maxsize=4096)
def limit_key(address: str) -> str:
    """Return the key of an address for rate limits: of IPv6 the /64, which one customer has."""
    if ":" not in address:
        return address[:64]
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))


def request_id(request: HTTPServerRequest) -> str:
    """Return the client's X-Request-Id if it is safe to log, otherwise a new UUID in hex."""
    header = request.headers.get("X-Request-Id", "")
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex


def bearer_token(request: HTTPServerRequest) -> str:
    """Return the token of `Authorization: QLiveToken <40 hex>`, or ""."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    # Not strip(): nginx.conf chooses the process of a user by exactly these forms.
    return token.strip(" \t") if kind.lower() == "qlivetoken" else ""
