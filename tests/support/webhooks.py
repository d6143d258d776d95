"""Endpoints of a company, which keep what they receive."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook as Verifier
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from realtime.bus import Bus
from services.webhooks.webhooks import WebhookService
from storage.webhooks.webhooks import Webhook
from telemetry.metrics import Metrics
from tests.support.storage import StoresFixture


class Received(NamedTuple):
    """A request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["Webhook-Id"]

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verify(self, secret: str) -> None:
        """Verify as a receiver does. Raises WebhookVerificationError."""
        Verifier(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answers with the next of `answers`, a status and headers, or with 204."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    silent: asyncio.Event | None = None
    """If there is one, an answer waits for it."""
    stop: Callable[[], None] = lambda: None

    @property
    def types(self) -> list[str]:
        return [request.content["type"] for request in self.received]

    @property
    def numbers(self) -> list[int]:
        """The `n` in the data of what was received."""
        return [request.content["data"]["n"] for request in self.received]

    def fail(self, *statuses: int, **headers: str) -> None:
        self.answers += [(status, headers) for status in statuses]


class ReceiverHandler(RequestHandler):
    def initialize(self, receiver: Receiver) -> None:
        self.receiver = receiver

    async def post(self) -> None:
        receiver = self.receiver
        receiver.received.append(Received(dict(self.request.headers.get_all()), self.request.body))
        status, headers = receiver.answers.popleft() if receiver.answers else (204, {})
        if receiver.silent:
            await receiver.silent.wait()
        self.set_status(status)
        for name, value in headers.items():
            self.set_header(name.replace("_", "-"), value)


def serve_receiver() -> Receiver:
    socket, port = bind_unused_port()
    receiver = Receiver(f"http://127.0.0.1:{port}/hook")
    routes = [(r".*", ReceiverHandler, {"receiver": receiver})]
    server = HTTPServer(Application(routes, log_function=lambda _handler: None))
    server.add_socket(socket)
    receiver.stop = server.stop
    return receiver


@pytest.fixture
def make_receiver(io_loop: IOLoop) -> Iterator[Callable[[], Receiver]]:
    """Creates receivers, each with a server."""
    receivers: list[Receiver] = []

    def make() -> Receiver:
        receivers.append(serve_receiver())
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.stop()


@pytest.fixture
def receiver(make_receiver: Callable[[], Receiver]) -> Receiver:
    return make_receiver()


class WebhookFixture:
    """The service on stores, and events of one type, "user.banned", numbered by `n`."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.metrics, self.bus = stores, Metrics(), Bus()
        self.service = WebhookService(stores, self.bus, self.metrics, allows_local=True)
        self.rows = stores.rows("webhooks")
        self.events = stores.rows("webhook_events")

    async def add(self, receiver: Receiver) -> Webhook:
        """Add an endpoint."""
        return await self.service.create(receiver.url, ["user.banned"], enabled=True)

    async def make_due(self) -> None:
        """Let the time of the next attempts come."""
        await self.rows.update_many({}, [{"$set": {"due_at": "$$NOW"}}])

    async def sweep(self) -> None:
        """Send all that can be sent now."""
        await self.make_due()
        while True:
            await self.service.job.sweep()
            due = {"enabled": True, "$expr": {"$lte": ["$due_at", "$$NOW"]}}
            if not await self.rows.count_documents(due):
                return


@pytest.fixture
def webhooks(stores: StoresFixture) -> WebhookFixture:
    return WebhookFixture(stores)
