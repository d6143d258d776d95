"""The `webhooks` of the OpenAPI document: what is sent to a company's own systems."""

from datetime import datetime
from typing import Any, Literal

from handlers.models import pydantic_type, typed_dict
from handlers.openapi.schemas import Json, SchemaRegistry
from storage.webhooks.payloads import WEBHOOK_PAYLOADS

ABOUT = """\
Signed as [Standard Webhooks](https://www.standardwebhooks.com) describe it. Events of one room, of
one user and of one order come in their order, each at least once. The `data` of a deleted user is
empty.
"""
HEADERS = {
    "webhook-id": "The same in each attempt: receivers take an id once.",
    "webhook-timestamp": "Seconds since 1970, of this attempt.",
    "webhook-signature": "`v1,` and the signature; one for each secret, separated by a space.",
}
BODIES: dict[str, Any] = {
    type_: typed_dict(
        f"{payload.__name__.removesuffix('Payload')}Webhook",
        {"type": Literal[type_], "timestamp": datetime, "data": pydantic_type(payload)},
        payload.__doc__,
    )
    for type_, payload in WEBHOOK_PAYLOADS.items()
}
"""Type of the body by type of event."""


def webhooks(schemas: SchemaRegistry) -> Json:
    """Describe the request for each type of event."""
    text = {"in": "header", "required": True, "schema": {"type": "string"}}
    headers = [{"name": name, "description": about, **text} for name, about in HEADERS.items()]
    return {
        type_: {
            "post": {
                "operationId": type_,
                "summary": body.__doc__,
                "description": ABOUT,
                "security": [],  # the signature is a header
                "parameters": headers,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": schemas.of(body, "serialization")}},
                },
                "responses": {
                    "2XX": {"description": "Received."},
                    "410": {"description": "Switches the webhook off."},
                },
            }
        }
        for type_, body in BODIES.items()
    }
