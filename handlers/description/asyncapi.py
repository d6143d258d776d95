"""The AsyncAPI document of the room's socket, made of the words in rooms/ and of its frames."""

import inspect
from typing import Any

from handlers.description.frames import HEARD, SAID
from handlers.description.openapi import VERSION
from handlers.description.operations import SOCKET_QUERY, TOKEN
from handlers.description.schemas import Json, Schemas
from realtime.codes import Code

CHANNEL = "#/channels/room"

ABOUT = """\
One socket is one member's place in one room. It begins with `snapshot`, or with `resumed` for who
comes back with `epoch` and `since`; then every event follows, numbered by `seq` without a gap.
Frames are JSON text. Times are milliseconds since 1970. Without an Authorization header the first
frame has to be `auth`.

A code under 4500 means: come back, with what was seen last; 4500 and above: do not. After 4401
somebody has to log in before that.
"""


def document(path: str) -> Json:
    """`path` is where the socket is opened."""
    schemas = Schemas(SAID.values(), HEARD.values())
    messages = {type_: _message(type_, kind, schemas) for type_, kind in {**HEARD, **SAID}.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "QLive: the socket of a room",
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
            "hear": _operation("send", "What the server says.", HEARD),
            "say": _operation("receive", "What a client may say.", SAID),
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
    codes = (f"- {int(code)} `{code.reason}`: {_advice(code)}" for code in Code)
    return ABOUT + "\n" + "\n".join(codes) + "\n"


def _advice(code: Code) -> str:
    if code == Code.TOKEN:  # the same token would be refused again, for ever
        return "log in first, then come back"
    return "come back" if code.reconnect else "do not come back"


def _message(type_: str, kind: Any, schemas: Schemas) -> Json:
    payload = schemas.of(kind, "validation" if type_ in SAID else "serialization")
    about = inspect.cleandoc(kind.__doc__ or "")
    return {"name": type_, **({"summary": about} if about else {}), "payload": payload}


def _operation(action: str, summary: str, kinds: dict[str, Any]) -> Json:
    messages = [{"$ref": f"{CHANNEL}/messages/{type_}"} for type_ in kinds]
    return {
        "action": action,
        "channel": {"$ref": CHANNEL},
        "summary": summary,
        "security": [{"$ref": f"#/components/securitySchemes/{TOKEN}"}],
        "messages": messages,
    }


def _query() -> Json:
    return {"type": "object", "properties": SOCKET_QUERY, "required": ["live_id"]}
