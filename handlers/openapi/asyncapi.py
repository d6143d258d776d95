"""AsyncAPI document of the socket, generated from its frames, and the same as an HTML page.

The server's frames are written by realtime/frames.py; event payloads are the TypedDicts of rooms/.
"""

import inspect
import json
import re
from html import escape
from typing import Any, Literal, NotRequired

from core.version import VERSION
from handlers.models import pydantic_type, typed_dict
from handlers.openapi.openapi_document import SOCKET_QUERY, TOKEN
from handlers.openapi.schemas import SCHEMA_REF_PREFIX, Json, SchemaRegistry
from people.user_events import USER_EVENT_PAYLOADS, LiveStart
from realtime.frames import CloseCode
from rooms.events import EVENT_PAYLOADS
from rooms.state import Snapshot
from services.accounts.user_channels import Balances, UserSnapshot, Where
from services.rooms.room_access import Audience

CHANNEL = "#/channels/room"
SERVER = {
    "host": "{host}",
    "protocol": "wss",
    "description": "The server of the HTTP API; `ws` in development.",
    "variables": {"host": {"default": "127.0.0.1:8000"}},
}

ABOUT = """\
One socket is one member's connection to one room or, without `live_id`, to a user channel, whose
frames have `user_id` in place of `live_id`. With `own=1` a room's socket has the user channel as
well, after the room's first frame; `own_epoch` and `own_since` resume it. A user has at most three
sockets of the user channel alone.

The first frame is `snapshot`, or `resumed` for a client that reconnects with `epoch` and `since`;
then every event follows, numbered by `seq` without a gap. A field of a room event's data that the
snapshot has as well replaces the snapshot's. Frames are JSON text. Times are milliseconds since
1970. Without an Authorization header the client's first frame must be `auth`.

A `snapshot` with `reset` `too_old` may also come between events, if the server itself missed more
of them than are stored. It replaces the client's room; the next event has the number after its
`seq`.

Close codes below 4500: reconnect with the last epoch and seq; 4500 and above: do not. After 4401
log in first.
"""
HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/socket.css">
</head>
<body>
<h1>{title}</h1>
<p><code>GET {address}</code>, query parameters: {query}</p>
<pre>{about}</pre>
<p><a href="/docs/asyncapi.json">AsyncAPI</a>, <a href="/docs/">HTTP API</a></p>"""


def _frame(type_: str, about: str, **fields: Any) -> Any:
    name = f"{type_.title().replace('_', '')}Frame"
    return typed_dict(name, {"type": Literal[type_], **fields}, about)


def _numbered(name: str, owner: dict[str, Any], data: Any, **extra: Any) -> Any:
    """Return a frame with a sequence number in an epoch; the name ends in its type."""
    type_ = name.removeprefix("user_")
    fields = {"type": Literal[type_], **owner, "epoch": str, "seq": int, "ts": int}
    return typed_dict(name, {**fields, "data": pydantic_type(data), **extra}, data.__doc__)


def _resumed(name: str, **owner: Any) -> Any:
    about = "Resume succeeded: the next `replayed` frames are the missed events."
    fields = {"type": Literal["resumed"], **owner, "epoch": str, "seq": int, "replayed": int}
    return typed_dict(f"{name.title().replace('_', '')}Frame", fields, about)


OF_ROOM, OF_USER = {"live_id": int}, {"user_id": str}
RESET = {"reset": NotRequired[Literal["epoch", "ahead", "too_old"]]}
SERVER_FRAMES: dict[str, Any] = {
    "snapshot": _numbered("snapshot", OF_ROOM, Snapshot, **RESET),
    "resumed": _resumed("resumed", **OF_ROOM),
    **{type_: _numbered(type_, OF_ROOM, data) for type_, data in EVENT_PAYLOADS.items()},
    "user_snapshot": _numbered("user_snapshot", OF_USER, UserSnapshot, **RESET),
    "user_resumed": _resumed("user_resumed", **OF_USER),
    **{type_: _numbered(type_, OF_USER, data) for type_, data in USER_EVENT_PAYLOADS.items()},
    "balance": _frame(
        "balance",
        "Gold and income after they changed; coalesced and not numbered.",
        user_id=str,
        data=pydantic_type(Balances),
    ),
    "where": _frame(
        "where",
        "The live that the user is in now; coalesced and not numbered.",
        user_id=str,
        data=pydantic_type(Where),
    ),
    "live_started": _frame(
        "live_started",
        "A host whom the user follows has begun a live; sent once, not numbered.\n\n"
        "Every socket of the user has it, those of rooms as well.",
        user_id=str,
        data=pydantic_type(LiveStart),
    ),
    "audience": _frame(
        "audience",
        "Audience counts after users joined or left; coalesced and not numbered.",
        live_id=int,
        data=pydantic_type(Audience),
    ),
    "heartbeat": _frame(
        "heartbeat",
        "Liveness signal; a client whose last `seq` is lower has missed an event.\n\n"
        "`own_seq` is that of the user channel, if the socket has it beside a room.",
        seq=int,
        own_seq=NotRequired[int],
        ts=int,
    ),
    "pong": _frame("pong", "Reply to a `ping`, with its `n`.", n=int),
    "bye": _frame(
        "bye",
        "Last frame before the socket closes with `code`.\n\n"
        "If `reconnect` is true, the client may reconnect, after `retry_ms` at the earliest.",
        code=Literal[tuple(map(int, CloseCode))],
        reason=Literal[tuple(code.reason for code in CloseCode)],
        retry_ms=int,
        reconnect=bool,
    ),
}
"""Frames the server sends, by type."""

CLIENT_FRAMES: dict[str, Any] = {
    "auth": _frame(
        "auth", "First frame on a socket opened without a token, within five seconds.", token=str
    ),
    "ping": _frame("ping", "Answered with a `pong` of the same `n`.", n=int),
}
"""Frames the server accepts, by type."""


def document(path: str) -> Json:
    """Return the AsyncAPI 3.0 document; `path` is the URL path of the socket."""
    schemas = SchemaRegistry(CLIENT_FRAMES.values(), SERVER_FRAMES.values())
    messages: dict[str, Json] = {}
    for type_, model in {**SERVER_FRAMES, **CLIENT_FRAMES}.items():
        payload = schemas.of(model, "validation" if type_ in CLIENT_FRAMES else "serialization")
        summary, _, details = inspect.cleandoc(model.__doc__).partition("\n\n")
        description = {"description": details} if details else {}
        messages[type_] = {"name": type_, "summary": summary, **description, "payload": payload}
    codes = "".join(f"- {int(code)} `{code.reason}`: {_advice(code)}\n" for code in CloseCode)
    query = {"type": "object", "properties": SOCKET_QUERY}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "QLive socket",
            "version": VERSION,
            "description": f"{ABOUT}\n{codes}",
        },
        "servers": {"this": SERVER},
        "defaultContentType": "application/json",
        "channels": {
            "room": {
                "address": path,
                "messages": {t: {"$ref": f"#/components/messages/{t}"} for t in messages},
                "bindings": {"ws": {"method": "GET", "query": query}},
            }
        },
        "operations": {
            "receiveFrames": _operation("send", "Frames sent by the server.", SERVER_FRAMES),
            "sendFrames": _operation("receive", "Frames sent by the client.", CLIENT_FRAMES),
        },
        "components": {
            "schemas": schemas.components,
            "messages": messages,
            "securitySchemes": {
                TOKEN: {"type": "httpApiKey", "in": "header", "name": "Authorization"}
            },
        },
    }


def _advice(code: CloseCode) -> str:
    if code == CloseCode.TOKEN:  # the same token would be refused on every attempt
        return "log in, then reconnect"
    return "reconnect" if code.reconnect else "do not reconnect"


def _operation(action: str, summary: str, frames: dict[str, Any]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": CHANNEL},
        "summary": summary,
        "security": [{"$ref": f"#/components/securitySchemes/{TOKEN}"}],
        "messages": [{"$ref": f"{CHANNEL}/messages/{type_}"} for type_ in frames],
    }


def page(document: Json) -> str:
    """Return the document as HTML without scripts."""
    info, components = document["info"], document["components"]
    query = (f"<code>{name}</code> ({_schema(kind)})" for name, kind in SOCKET_QUERY.items())
    head = HEAD.format(
        title=escape(info["title"]),
        address=escape(document["channels"]["room"]["address"]),
        query=", ".join(query),
        about=_prose(info["description"]),
    )
    lines = [head]
    for operation in document["operations"].values():
        lines.append(f"<h2>{escape(operation['summary'])}</h2>")
        for reference in operation["messages"]:
            message = components["messages"][reference["$ref"].rpartition("/")[2]]
            paragraphs = (message["summary"], message.get("description", ""))
            name, about = escape(message["name"]), _prose("\n\n".join(filter(None, paragraphs)))
            lines.append(f'<h3 id="{name}"><code>{name}</code></h3>')
            lines.append(f"<p>{about} {_schema(message['payload'])}</p>")
    lines.append("<h2>Schemas</h2>")
    for name, schema in components["schemas"].items():
        lines.append(f'<h3 id="shape-{escape(name)}">{escape(name)}</h3>')
        lines.append(f"<p>{_prose(schema.get('description', ''))}</p><table>")
        for field, kind in schema["properties"].items():
            optional = "" if field in schema.get("required", ()) else " (optional)"
            about = _prose(kind.get("description", ""))
            lines.append(f"<tr><td><code>{escape(field)}</code>{optional}</td>")
            lines.append(f"<td>{_schema(kind)}</td><td>{about}</td></tr>")
        lines.append("</table>")
    return "\n".join([*lines, "</body>\n</html>\n"])


def _schema(schema: Json) -> str:
    """Return the keywords of a JSON Schema in one line, with links to those it refers to."""
    keywords = {key: value for key, value in schema.items() if key != "description"}
    text = escape(json.dumps(keywords)[1:-1], quote=False)
    linked = re.sub(f'"{SCHEMA_REF_PREFIX}([^"]*)"', r'<a href="#shape-\1">\1</a>', text)
    return f"<code>{linked}</code>"


def _prose(text: str) -> str:
    """Escape HTML and render backticks, the only Markdown in use, as <code>."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
