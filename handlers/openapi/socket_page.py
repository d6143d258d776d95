"""Renders the AsyncAPI document of the socket as an HTML page without scripts."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from handlers.openapi.schemas import Json

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


def page(document: Json) -> str:
    info, room = document["info"], document["channels"]["room"]
    head = HEAD.format(
        title=escape(info["title"]),
        address=escape(room["address"]),
        query=_parameters(room["bindings"]["ws"]["query"]["properties"]),
        about=_prose(info["description"]),
    )
    parts = [head]
    for operation in document["operations"].values():
        parts.append(f"<h2>{escape(operation['summary'])}</h2>")
        names = [message["$ref"].rpartition("/")[2] for message in operation["messages"]]
        parts += [_message(document["components"]["messages"][name]) for name in names]
    parts.append("<h2>Schemas</h2>")
    parts += _schemas(document)
    return "\n".join([*parts, "</body>\n</html>\n"])


def _message(message: Json) -> str:
    name, payload = message["name"], message["payload"]["$ref"].rpartition("/")[2]
    return (
        f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
        f"<p>{_prose(message.get('summary', ''))} {_link(payload)}</p>"
    )


def _schemas(document: Json) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        required = schema.get("required", ())
        rows = "\n".join(
            f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' (optional)'}"
            f"</td><td>{_type(kind)}</td><td>{_prose(kind.get('description', ''))}</td></tr>"
            for field, kind in schema["properties"].items()
        )
        about = f"<p>{_prose(schema.get('description', ''))}</p>"
        yield f'<h3 id="shape-{escape(name)}">{escape(name)}</h3>{about}<table>{rows}</table>'


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return ", ".join(
            f"<code>{_value(v)}</code>" for v in schema.get("enum", [schema.get("const")])
        )
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("type", "anything")))


def _parameters(query: Json) -> str:
    return ", ".join(f"<code>{escape(name)}</code> ({_type(kind)})" for name, kind in query.items())


def _prose(text: str) -> str:
    """Escapes HTML and renders backticks, the only Markdown in use, as <code>."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _link(name: str) -> str:
    return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'


def _value(value: Any) -> str:
    return escape(f'"{value}"' if isinstance(value, str) else str(value))
