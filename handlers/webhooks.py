"""Operators' endpoints for webhooks: endpoints of the company, and what was sent to them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from handlers.base import endpoint
from handlers.models import CursorRequest, Page, Request, Response
from handlers.operator_base import PAGE_SIZE, OperatorHandler
from storage.errors import TooManyWebhooks, WebhookNotFound
from storage.webhooks.payloads import WEBHOOK_PAYLOADS
from storage.webhooks.webhooks import DeliveryState, OffReason

Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Field(examples=["https://hooks.invalid/qlive"]),
]
PATTERN = f"^({'|'.join(map(re.escape, WEBHOOK_PAYLOADS))})$"
Types = Annotated[
    list[Annotated[str, StringConstraints(pattern=PATTERN)]],
    Field(min_length=1, max_length=len(WEBHOOK_PAYLOADS), examples=[["live.ended"]]),
]


class NewWebhookRequest(Request):
    url: Url
    types: Types
    enabled: bool = True


class WebhookChangeRequest(Request):
    url: Url | None = None
    types: Types | None = None
    enabled: bool | None = None


class WebhookResponse(Response):
    """`off_reason`: switched off by an `operator`, or since it is `gone` or `failing`."""

    id: str
    url: str
    types: list[str]
    made_at: datetime
    enabled: bool
    off_reason: OffReason
    failing_since: datetime | None
    """The first failure since the last success."""


class WebhookSecretResponse(WebhookResponse):
    """`secret` is shown once."""

    secret: str


class AttemptResponse(Response):
    """`status` is 0 without an answer, for the reason `error`."""

    at: datetime
    seconds: float
    status: int
    error: str


class DeliveryResponse(Response):
    """An event for a webhook; `id` is the `webhook-id` of all its attempts."""

    id: str
    type: str
    at: datetime
    state: DeliveryState
    attempts: list[AttemptResponse]


class OpsWebhooksHandler(OperatorHandler):
    audits_parameters = False  # the query of an address may be a key: `summary` leaves it out

    @endpoint()
    async def get(self) -> Page[WebhookResponse]:
        """All webhooks, the oldest first."""
        return Page[WebhookResponse].of(await self.context.stores.webhooks.all())

    @endpoint(errors=[TooManyWebhooks])
    async def post(self, params: NewWebhookRequest) -> WebhookSecretResponse:
        """Add a webhook for events of these types."""
        webhooks = self.context.services.webhooks
        webhook = await webhooks.create(params.url, params.types, enabled=params.enabled)
        self.created = webhook.summary
        return WebhookSecretResponse.model_validate(webhook)


class WebhookTargetHandler(OperatorHandler):
    """Base of the changes of one webhook."""

    async def target_state(self) -> Mapping[str, Any]:
        found = await self.context.stores.webhooks.find(self.path_args[0])
        return found.summary if found else {}


class OpsWebhookHandler(WebhookTargetHandler):
    audits_parameters = False  # as above

    @endpoint(errors=[WebhookNotFound])
    async def patch(self, webhook_id: str, params: WebhookChangeRequest) -> WebhookResponse:
        """Change a webhook, or switch it on or off.

        Waiting events are sent at once if it is on, and kept for seven days if it is off.
        """
        changes = params.model_dump(exclude_none=True)
        webhook = await self.context.services.webhooks.change(webhook_id, **changes)
        return WebhookResponse.model_validate(webhook)

    @endpoint(errors=[WebhookNotFound])
    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        await self.context.services.webhooks.delete(webhook_id)


class OpsRotateWebhookHandler(WebhookTargetHandler):
    @endpoint(errors=[WebhookNotFound])
    async def post(self, webhook_id: str) -> WebhookSecretResponse:
        """Replace the secret of a webhook; for a day the one before signs, too."""
        webhook = await self.context.stores.webhooks.rotate(webhook_id)
        return WebhookSecretResponse.model_validate(webhook)


class OpsDeliveriesHandler(OperatorHandler):
    @endpoint(errors=[WebhookNotFound])
    async def get(self, webhook_id: str, params: CursorRequest) -> Page[DeliveryResponse]:
        """Events of a webhook that wait, or were sent in the last seven days, newest first."""
        await self.context.stores.webhooks.get(webhook_id)
        found, cursor = await self.context.stores.deliveries.page(
            params.after, PAGE_SIZE, webhook_id=webhook_id
        )
        return Page[DeliveryResponse].of(found, cursor)


class OpsSendAgainHandler(OperatorHandler):
    @endpoint(errors=[WebhookNotFound])
    async def post(self, webhook_id: str, delivery_id: str) -> DeliveryResponse:
        """Send an event to a webhook again, under the same id and behind those that wait."""
        sent = await self.context.services.webhooks.send_again(webhook_id, delivery_id)
        return DeliveryResponse.model_validate(sent)
