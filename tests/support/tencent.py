"""The simulator behind a real HTTP server, and scripted services."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from config.sections import PaySettings
from config.settings import Settings
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import NO_ANSWER, SimulatorReply, SimulatorRequest
from tencent.merchant import MerchantClient, read_key, sign
from tencent.pay import JsapiClient
from tencent.service_client import ServiceClient
from tencent.wechat import AccessTokenCache, WechatApi
from tencent.xpay import XpayClient

VECTORS = Path(__file__).parents[1] / "vectors"

Responder = Callable[[SimulatorRequest], Awaitable[SimulatorReply]]
Serve = Callable[[Responder], str]


class Clock:
    """Unix time that only the test advances."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ScriptedService:
    """Sends the replies in turn, the last one repeatedly, and records requests.

    A reply that is no SimulatorReply is sent as JSON with status 200.
    """

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.requests: list[SimulatorRequest] = []

    async def __call__(self, request: SimulatorRequest) -> SimulatorReply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, SimulatorReply):
            return reply
        return SimulatorReply(200, {"Content-Type": "application/json"}, json.dumps(reply).encode())


class ResponderHandler(RequestHandler):
    """Answers the requests of an application with those of a responder."""

    def initialize(self, responder: Responder) -> None:
        self.responder = responder

    async def _respond(self) -> None:
        query = {
            name: self.get_query_argument(name, strip=False)
            for name in self.request.query_arguments
        }
        request = SimulatorRequest(
            self.request.method or "",
            self.request.path.removeprefix("/sim"),
            query,
            dict(self.request.headers.get_all()),
            self.request.body,
        )
        reply = await self.responder(request)
        if reply.status == NO_ANSWER:
            self.detach().close()
            return
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if reply.status in (204, 304):
            self.clear_header("Content-Type")
        else:
            self.write(reply.body)

    get = post = put = delete = _respond


def responder_application(responder: Responder) -> Application:
    """Serves a responder at every path, with or without the prefix /sim."""
    return Application(
        [(r".*", ResponderHandler, {"responder": responder})], log_function=lambda _handler: None
    )


@pytest.fixture
def vectors() -> Callable[[str], Any]:
    return lambda name: json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that is also that of every Cache."""
    clock = Clock(1_700_000_000.0)
    monkeypatch.setattr("core.cache.monotonic", clock)
    return clock


@pytest.fixture
def scripted(serve: Serve, client_at: Callable[[str], Any]) -> Callable[..., Any]:
    """Creates a client by the fixture `client_at` or `at`, and the service that it calls."""

    def build(*replies: Any, at: Callable[[str], Any] = client_at) -> tuple[Any, ScriptedService]:
        service = ScriptedService(*replies)
        return at(serve(service)), service

    return build


@pytest.fixture
def serve(io_loop: IOLoop) -> Iterator[Serve]:
    """Serves a responder over HTTP; returns the base URL, which ends in /sim."""
    servers: list[HTTPServer] = []

    def start(responder: Responder) -> str:
        server = HTTPServer(responder_application(responder))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        servers.append(server)
        return f"http://127.0.0.1:{port}/sim"

    yield start
    for server in servers:
        server.stop()
        io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def make_service_client(
    io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ServiceClient]]:
    """Creates service clients that are closed after the test."""
    monkeypatch.setattr("tencent.service_client.PAUSE_SECONDS", 0.001)
    clients: list[ServiceClient] = []

    def build(name: str, url: str, **options: float) -> ServiceClient:
        def open_client() -> None:
            clients.append(ServiceClient(name, url, **options))

        # It needs a running loop.
        is_running = io_loop.asyncio_loop.is_running()
        open_client() if is_running else io_loop.run_sync(open_client)
        return clients[-1]

    yield build
    for client in clients:
        io_loop.run_sync(client.close)


@pytest.fixture
def merchant(vectors: Callable[[str], Any]) -> dict[str, Any]:
    """Test keys of the merchant and of WeChat Pay."""
    return vectors("wechatpay_v3")


@pytest.fixture
def transfer_vectors(vectors: Callable[[str], Any]) -> dict[str, Any]:
    """Transfers to users, with test keys of their own for merchant and WeChat Pay."""
    return vectors("transfer")


def pay_settings(vectors: dict[str, Any]) -> dict[str, str]:
    """The settings of the merchant in the vectors."""
    own, platform = vectors["merchant"], vectors["platform"]
    return {
        "mchid": vectors["mchid"],
        "serial_no": own["serial_no"],
        "private_key": own["private_key_pem"],
        "public_key_id": platform["public_key_id"],
        "public_key": platform["public_key_pem"],
        "apiv3_key": vectors["apiv3_key"],
    }


def merchant_client(
    vectors: dict[str, Any],
    client: Any = None,
    now: Callable[[], float] = time,
    **changes: Any,
) -> MerchantClient:
    """The merchant in the vectors, by default without connections."""
    pay = PaySettings(**pay_settings(vectors) | changes)
    return MerchantClient(client or SimpleNamespace(service="pay"), pay, now=now)


def signed_reply(
    vectors: dict[str, Any], content: Any, now: float, status: int = 200
) -> SimulatorReply:
    """An answer signed with WeChat Pay's key in the vectors."""
    platform, body, timestamp = vectors["platform"], json.dumps(content), str(int(now))
    key = read_key(platform["private_key_pem"])
    headers = {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": "nonce",
        "Wechatpay-Serial": platform["public_key_id"],
        "Wechatpay-Signature": sign(key, timestamp, "nonce", body),
    }
    return SimulatorReply(status, headers, body.encode())


@pytest.fixture
def simulator(merchant: dict[str, Any], clock: Clock) -> Simulator:
    settings = {
        "wechat": {
            "apps": {
                "wxd678efh567hg6787": {"secret": "s3cret"},
                "wxanother0000000": {"secret": "0ther"},
            }
        },
        "im": {"sdk_app_id": 1400000000, "secret_key": "im-key-of-the-tests"},
        "pay": {
            **pay_settings(merchant),
            "offer_id": "1450000001",
            "app_key": "app-key-of-the-tests",
            "push_token": "push-token",
            "push_aes_key": "A" * 43,
            "sandbox": True,
        },
        "live_streaming": {"secret_id": "AKIDTEST", "secret_key": "SECRETTEST"},
        "age_verification": {"secret_id": "AKIDTEST", "secret_key": "SECRETTEST"},
    }
    key = merchant["platform"]["private_key_pem"]
    return Simulator(Settings.model_validate(settings), key, "http://127.0.0.1:9", clock)


@pytest.fixture
def sim_url(serve: Serve, simulator: Simulator) -> str:
    return serve(simulator.answer)


@pytest.fixture
def pay_at(
    merchant: dict[str, Any], make_service_client: Callable[..., ServiceClient], clock: Clock
) -> Callable[..., JsapiClient]:
    """Creates clients of WeChat Pay."""

    def build(url: str, notify_url: str = "https://pay.example.com/wechat/notify") -> JsapiClient:
        client = make_service_client("pay", url)
        return JsapiClient(merchant_client(merchant, client, clock), notify_url)

    return build


@pytest.fixture
def build_xpay(make_service_client: Callable[..., ServiceClient]) -> Callable[..., XpayClient]:
    """Creates clients of virtual payment, by default with the simulator's key and secret."""

    def build(
        url: str,
        *,
        app_key: str = "app-key-of-the-tests",
        secret: str = "s3cret",
        on_rejection: Callable[[str, str], None] = lambda *_: None,
    ) -> XpayClient:
        wechat = make_service_client("wechat", url)
        tokens = AccessTokenCache(wechat, {"wxd678efh567hg6787": secret})
        pay = PaySettings(offer_id="1450000001", app_key=app_key, sandbox=True)
        return XpayClient(WechatApi(wechat, tokens), pay, on_rejection)

    return build
