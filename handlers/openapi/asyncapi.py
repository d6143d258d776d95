"""AsyncAPI document of the room socket, generated from frames and room events."""

import inspect
from typing import Any

from core.version import VERSION
from handlers.openapi.frames import CLIENT_FRAMES, SERVER_FRAMES
from handlers.openapi.operations import SOCKET_QUERY, TOKEN
from handlers.openapi.schemas import Json, SchemaRegistry
from realtime.close_codes import CloseCode

CHANNEL = "#/channels/room"

ABOUT = """\
One socket is one member's connection to one room. The first frame is `snapshot`, or `resumed` for a
client that reconnects with `epoch` and `since`; then every event follows, numbered by `seq` without
a gap. Frames are JSON text. Times are milliseconds since 1970. Without an Authorization header the
client's first frame must be `auth`.

A `snapshot` with `reset` `too_old` may also come between events, if the server itself missed more
of them than are stored. It replaces the client's room; the next event has the number after its
`seq`.

Close codes below 4500: reconnect with the last epoch and seq; 4500 and above: do not. After 4401
log in first.
"""


def document(path: str) -> Json:
    """AsyncAPI 3.0 document; `path` is the URL path of the socket."""
    schemas = SchemaRegistry(CLIENT_FRAMES.values(), SERVER_FRAMES.values())
    messages = {
        type_: _message(type_, model, schemas)
        for type_, model in {**SERVER_FRAMES, **CLIENT_FRAMES}.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "QLive room socket",
            "version": VERSION,
            "description": _about(),
        },
        "defaultContentType": "application/json",
        "channels": {
            "room": {
                "address": path,
                "messages": {t: {"$ref": f"#/components/messages/{t}"} for t in messages},
                "bindings": {"ws": {"method": "GET", "query": _query()}},
            }
        },
        "operations": {
            "hear": _operation("send", "Frames sent by the server.", SERVER_FRAMES),
            "say": _operation("receive", "Frames sent by the client.", CLIENT_FRAMES),
        },
        "components": {
            "schemas": schemas.components,
            "messages": messages,
            "securitySchemes": {
                TOKEN: {"type": "httpApiKey", "in": "header", "name": "Authorization"}
            },
        },
    }


def _about() -> str:
    codes = (f"- {int(code)} `{code.reason}`: {_advice(code)}" for code in CloseCode)
    return ABOUT + "\n" + "\n".join(codes) + "\n"


def _advice(code: CloseCode) -> str:
    if code == CloseCode.TOKEN:  # the same token would be refused on every attempt
        return "log in, then reconnect"
    return "reconnect" if code.reconnect else "do not reconnect"


def _message(type_: str, model: Any, schemas: SchemaRegistry) -> Json:
    payload = schemas.of(model, "validation" if type_ in CLIENT_FRAMES else "serialization")
    about = inspect.cleandoc(model.__doc__ or "")
    return {"name": type_, **({"summary": about} if about else {}), "payload": payload}


def _operation(action: str, summary: str, frames: dict[str, Any]) -> Json:
    messages = [{"$ref": f"{CHANNEL}/messages/{type_}"} for type_ in frames]
    return {
        "action": action,
        "channel": {"$ref": CHANNEL},
        "summary": summary,
        "security": [{"$ref": f"#/components/securitySchemes/{TOKEN}"}],
        "messages": messages,
    }


def _query() -> Json:
    return {"type": "object", "properties": SOCKET_QUERY, "required": ["live_id"]}
