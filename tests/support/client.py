"""The HTTP and WebSocket client of tests, chaos and bench, on aiohttp and websockets."""

import copy
import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

BASE = "/wx/api/qlive/"


class Reply:
    """One HTTP response; status 0 means that there was none."""

    def __init__(self, status: int, headers: Any = None, text: str = "") -> None:
        self.status = status
        self.headers = headers or {}
        self.text = text

    def __repr__(self) -> str:
        return f"{self.status} {self.text}"

    @property
    def json(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def succeeded(self) -> bool:
        return self.status == 200

    @property
    def refusal(self) -> tuple[int, str]:
        """(status, code) of an error response; checks that it has a detail, too."""
        assert self.headers["Content-Type"].startswith("application/json"), self.text
        assert isinstance(self.json["detail"], str), self.text
        assert self.json["detail"], self.text
        return self.status, self.json["code"]

    def ok(self) -> Any:
        """The JSON of a response that must be 200."""
        assert self.status == 200, f"{self.status}: {self.text}"
        return self.json


def parse_metrics(text: str) -> dict[str, float]:
    """The samples of /metrics by series, as in the text."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


class HttpClient:
    """Sends requests to addresses on this machine; its session begins with the first one."""

    def __init__(
        self, seconds: float = 300, *, keeps_connections: bool = True, ssl: Any = True
    ) -> None:
        """`seconds`: timeout of a request; `ssl`: as aiohttp takes it."""
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._keeps_connections = keeps_connections
        self._ssl = ssl
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def send(self, method: str, url: str, **options: Any) -> Reply:
        """Send a request with the options of aiohttp; raises its errors."""
        self._http = self._http or self._session()
        async with self._http.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.text())

    async def attempt(self, method: str, url: str, **options: Any) -> Reply:
        """As `send`, with status 0 if no response arrives."""
        try:
            return await self.send(method, url, **options)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Reply(0)

    def _session(self) -> aiohttp.ClientSession:
        force_close = not self._keeps_connections
        connector = aiohttp.TCPConnector(limit=0, force_close=force_close, ssl=self._ssl)
        return aiohttp.ClientSession(connector=connector, timeout=self._timeout)


class Api(Protocol):
    """Sends the requests of a user; paths are from the root of a server."""

    async def request(self, method: str, path: str, **options: Any) -> Reply: ...


class UserClient:
    """Sends the requests of one signed-in user."""

    def __init__(self, api: Api, name: str, account: Mapping[str, Any]) -> None:
        self.name = name
        self.token: str = account["token"]
        self.id: str = account["user_id"]
        self.live_id = 0
        self.api = api

    async def get(self, path: str, **params: Any) -> Reply:
        """A GET below BASE; parameters in the query, as wx.request sends them."""
        return await self.api.request("GET", BASE + path, params=params, headers=self.headers)

    async def post(self, path: str, **params: Any) -> Reply:
        """A POST below BASE; parameters as a JSON body."""
        return await self.api.request("POST", BASE + path, json=params, headers=self.headers)

    def through(self, api: Api) -> Self:
        """The same user, whose requests are sent by `api`."""
        user = copy.copy(self)
        user.api = api
        return user

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"QLiveToken {self.token}"}


async def connect_socket(
    address: str,
    live_id: int | None,
    token: str | None = None,
    *,
    options: Any = None,
    **query: Any,
) -> ClientConnection:
    """A WebSocket to the room, or (None) of the user; without `token` the first frame carries it.

    `options` are those of `websockets.connect`, which sends no pings by itself.
    """
    room = {} if live_id is None else {"live_id": live_id}
    parameters = "&".join(f"{k}={v}" for k, v in {**room, **query}.items())
    headers = {"Authorization": f"QLiveToken {token}"} if token else None
    return await websockets.connect(
        f"{address.replace('http', 'ws', 1)}{BASE}ws/?{parameters}",
        additional_headers=headers,
        compression=None,
        proxy=None,
        **{"ping_interval": None, **(options or {})},
    )
