"""The AsyncAPI document of the socket as an HTML page without scripts."""

import json
import re
from collections.abc import Iterator
from html import escape

from handlers.openapi.schemas import SCHEMA_REF_PREFIX, Json

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
    return "\n".join([*_parts(document), "</body>\n</html>\n"])


def _parts(document: Json) -> Iterator[str]:
    info, room = document["info"], document["channels"]["room"]
    components = document["components"]
    yield HEAD.format(
        title=escape(info["title"]),
        address=escape(room["address"]),
        query=_schema(room["bindings"]["ws"]["query"]["properties"]),
        about=_prose(info["description"]),
    )
    for operation in document["operations"].values():
        yield f"<h2>{escape(operation['summary'])}</h2>"
        for reference in operation["messages"]:
            message = components["messages"][reference["$ref"].rpartition("/")[2]]
            name, about = escape(message["name"]), _prose(message.get("summary", ""))
            yield f'<h3 id="{name}"><code>{name}</code></h3>'
            yield f"<p>{about} {_schema(message['payload'])}</p>"
    yield "<h2>Schemas</h2>"
    for name, schema in components["schemas"].items():
        yield f'<h3 id="shape-{escape(name)}">{escape(name)}</h3>'
        yield f"<p>{_prose(schema.get('description', ''))}</p><table>"
        for field, kind in schema["properties"].items():
            optional = "" if field in schema.get("required", ()) else " (optional)"
            about = _prose(kind.get("description", ""))
            yield f"<tr><td><code>{escape(field)}</code>{optional}</td>"
            yield f"<td>{_schema(kind)}</td><td>{about}</td></tr>"
        yield "</table>"


def _schema(schema: Json) -> str:
    """The keywords of a JSON Schema in one line, with links to the schemas it refers to."""
    keywords = {key: value for key, value in schema.items() if key != "description"}
    text = escape(json.dumps(keywords)[1:-1], quote=False)
    linked = re.sub(f'"{SCHEMA_REF_PREFIX}([^"]*)"', r'<a href="#shape-\1">\1</a>', text)
    return f"<code>{linked}</code>"


def _prose(text: str) -> str:
    """Escapes HTML and renders backticks, the only Markdown in use, as <code>."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
