"""The simulator behind a real HTTP server, and services that answer what a test wants."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tencent.outside import Outside
from tencent.simulator.simulator import Simulator
from tencent.simulator.wire import SimReply, SimRequest

VECTORS = Path(__file__).parents[1] / "vectors"

Answers = Callable[[SimRequest], Awaitable[SimReply]]
Serve = Callable[[Answers], str]


class Clock:
    """Unix seconds that pass when the test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Script:
    """A service that says its lines in turn, the last one for ever, and remembers the calls."""

    def __init__(self, *lines: Any) -> None:
        self.lines = list(lines)
        self.heard: list[SimRequest] = []

    async def __call__(self, request: SimRequest) -> SimReply:
        self.heard.append(request)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, SimReply):
            return line
        return SimReply(200, {"Content-Type": "application/json"}, json.dumps(line).encode())


class _Edge(RequestHandler):
    def initialize(self, answers: Answers) -> None:
        self.answers = answers

    async def _all(self) -> None:
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        request = SimRequest(
            self.request.method or "",
            self.request.path.removeprefix("/sim"),
            query,
            dict(self.request.headers.get_all()),
            self.request.body,
        )
        reply = await self.answers(request)
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if reply.status not in (204, 304):
            self.write(reply.body)

    get = post = _all


@pytest.fixture
def vectors() -> Callable[[str], Any]:
    return lambda name: json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def script() -> type[Script]:
    return Script


@pytest.fixture
def serve(io_loop: IOLoop) -> Iterator[Serve]:
    """Serves a function over HTTP and gives its base URL, with the prefix that ours has."""
    servers: list[HTTPServer] = []

    def start(answers: Answers) -> str:
        server = HTTPServer(Application([(r".*", _Edge, {"answers": answers})]))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        servers.append(server)
        return f"http://127.0.0.1:{port}/sim"

    yield start
    for server in servers:
        server.stop()
        io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def reach(io_loop: IOLoop) -> Iterator[Callable[..., Outside]]:
    """Builds an Outside that is closed after the test."""
    built: list[Outside] = []

    def build(name: str, url: str, **more: float) -> Outside:
        built.append(Outside(name, url, **{"pause": 0.001, **more}))
        return built[-1]

    yield build
    for outside in built:
        outside.close()


@pytest.fixture
def merchant(vectors: Callable[[str], Any]) -> dict[str, Any]:
    """Test-only keys: ours as a merchant and WeChat Pay's."""
    found: dict[str, Any] = vectors("wechatpay_v3")
    return found


@pytest.fixture
def simulator(merchant: dict[str, Any], clock: Clock) -> Simulator:
    return Simulator(
        apps={"wxd678efh567hg6787": "s3cret", "wxanother0000000": "0ther"},
        sdk_app_id=1400000000,
        im_key="im-key-of-the-tests",
        im_admin="administrator",
        mchid=merchant["mchid"],
        merchant_serial=merchant["merchant"]["serial_no"],
        merchant_public_key=merchant["merchant"]["public_key_pem"],
        platform_key_id=merchant["platform"]["public_key_id"],
        platform_private_key=merchant["platform"]["private_key_pem"],
        apiv3_key=merchant["apiv3_key"],
        live_secret_id="AKIDTEST",
        live_secret_key="SECRETTEST",
        offer_id="1450000001",
        app_key="app-key-of-the-tests",
        push_token="push-token",
        push_aes_key="A" * 43,
        push_to="http://127.0.0.1:9/",
        sandbox=True,
        now=clock,
    )


@pytest.fixture
def sim_url(serve: Serve, simulator: Simulator) -> str:
    return serve(simulator.answer)
