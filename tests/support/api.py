"""HTTP and WebSocket clients of the API, on third-party libraries (aiohttp, websockets)."""

import asyncio
import json
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from yarl import URL

from tests.support import openapi_checks
from tests.support.client import BASE, HttpClient, Reply, UserClient, connect_socket, parse_metrics

WAIT = 60.0
NOT_NUMBERED = ("audience", "balance", "where", "heartbeat")


class ApiFixture:
    """Creates users, and calls the operators' API, of one server at `address`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._operator_token = ""
        self.http = HttpClient()
        self._sockets: list[ClientConnection] = []

    async def close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        await self.http.close()

    async def request(self, method: str, path: str, **kwargs: Any) -> Reply:
        """Sends any request; `path` is from the root."""
        reply = await self.http.send(method, self.address + path, **kwargs)
        media_type = reply.headers.get("Content-Type", "")
        openapi_checks.check_response(method, URL(path).path, reply.status, media_type, reply.text)
        return reply

    async def ops(self, method: str, path: str, params: Any = None, **body: Any) -> Reply:
        """Calls the operators' API as the demo operator, an admin; `path` is from /ops/api/."""
        headers = {"Authorization": f"Bearer {await self.operator_token()}"}
        path = f"/ops/api/{path}"
        return await self.request(method, path, params=params, json=body, headers=headers)

    async def operator_token(self) -> str:
        """The token of a session of the demo operator, an admin."""
        self._operator_token = self._operator_token or (await self.log_in_operator())["token"]
        return self._operator_token

    async def use_operator_of(self, other: "ApiFixture") -> None:
        """Use the session of another client, where /sim cannot be reached."""
        self._operator_token = await other.operator_token()

    async def log_in_operator(self) -> Any:
        """A new session of the demo operator."""
        return (await self.request("POST", "/sim/operator/login")).ok()

    async def wechat(self, name: str, gender: int = 0, **profile: Any) -> dict[str, str]:
        """A WeChat login: appId, code, encryptedData, iv. The code works once."""
        body = {"name": name, "gender": gender, **profile}
        return (await self.request("POST", "/sim/phone/login", json=body)).ok()

    async def log_in(self, name: str, **options: Any) -> Reply:
        """The reply to a login with a new code of WeChat."""
        login = await self.wechat(name, **options)
        body = {"appId": login["appId"], "code": login["code"]}
        return await self.request("POST", f"{BASE}qlive_user/login/", json=body)

    async def metrics(self) -> dict[str, float]:
        """The samples of /metrics by series, as in the text."""
        return parse_metrics((await self.request("GET", "/metrics")).text)

    async def outage(self, service: str, **failure: Any) -> None:
        """Simulates a failure of wechat, im or pay: status=500 or seconds=0.5; without, ends it."""
        (await self.request("POST", "/sim/outage", json={"service": service, **failure})).ok()

    async def user(self, name: str, gender: int = 0, *, gold: int = 0) -> "ApiClient":
        """A user who is logged in."""
        client = ApiClient(self, name, await self.register(name, gender))
        if gold:
            assert await self.grant(client, gold) == gold
        return client

    async def register(self, name: str, gender: int) -> dict[str, Any]:
        """A login by a new user, or one of this name: user_id and token."""
        login = await self.request(
            "POST", f"{BASE}qlive_user/", json=await self.wechat(name, gender)
        )
        return login.ok()

    async def grant(self, client: "ApiClient", gold: int) -> int:
        """Gold from the house, once per name; returns how much the user has."""
        granted = await self.ops(
            "POST", f"users/{client.id}/grant", gold=gold, reason="test", request_id=client.name
        )
        return granted.ok()["gold"]

    async def make_matchmaker(self, client: "ApiClient") -> None:
        (await self.ops("PATCH", f"users/{client.id}", is_matchmaker=True)).ok()

    async def matchmaker(self, name: str = "红娘") -> "ApiClient":
        """A matchmaker without a room."""
        client = await self.user(name, 2)
        await self.make_matchmaker(client)
        return client

    async def host(self, name: str = "红娘") -> "ApiClient":
        """A matchmaker whose room `client.live_id` is live."""
        client = await self.matchmaker(name)
        entered = (await client.post("qlive_room/matchmaker_enter/")).ok()
        client.live_id = entered["live_id"]
        return client

    async def guest(self, name: str, gender: int, live_id: int, *, gold: int = 0) -> "ApiClient":
        """A user who has entered the room."""
        client = await self.user(name, gender, gold=gold)
        (await client.get("get_playurl/", live_id=live_id)).ok()
        client.live_id = live_id
        return client

    async def socket(self, live_id: int | None, token: str | None = None, **query: Any) -> "Socket":
        """A WebSocket to the room; without `token` the first frame must carry it."""
        options = {
            "create_connection": CheckedConnection,
            "open_timeout": WAIT,
            "ping_interval": 20,
            "ping_timeout": WAIT,
        }
        connection = await connect_socket(self.address, live_id, token, options=options, **query)
        self._sockets.append(connection)
        return Socket(connection)


class ApiClient(UserClient):
    """A client of one logged-in user."""

    api: ApiFixture

    async def connect(self, live_id: int | None = None, **query: Any) -> "Socket":
        return await self.api.socket(live_id or self.live_id, self.token, **query)

    async def user_channel(self, **query: Any) -> "Socket":
        """A socket of the user channel."""
        return await self.api.socket(None, self.token, **query)

    async def watch(self, live_id: int | None = None) -> "Socket":
        """A socket to the room that has received its snapshot."""
        socket = await self.connect(live_id)
        await socket.next("snapshot")
        return socket


class CheckedConnection(ClientConnection):
    """Checks every received frame against the AsyncAPI document."""

    async def recv(self, decode: bool | None = None) -> Any:
        text = await super().recv(decode)
        openapi_checks.check_frame(text)
        return text


class Socket:
    """A WebSocket to a room."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def frame(self) -> dict[str, Any]:
        """The next frame of any type."""
        text = await asyncio.wait_for(self.connection.recv(), WAIT)
        assert isinstance(text, str)
        return json.loads(text)

    async def next(self, type_: str | None = None) -> dict[str, Any]:
        """The next frame that is numbered or ends the socket; must be of `type_` if given."""
        while (frame := await self.frame())["type"] in NOT_NUMBERED:
            pass
        assert type_ in (None, frame["type"]), frame
        return frame

    async def audience(self) -> dict[str, Any]:
        """The data of the next audience frame."""
        return await self.data_of("audience")

    async def data_of(self, type_: str) -> dict[str, Any]:
        """The data of the next frame of a type; frames before it are dropped."""
        while (frame := await self.frame())["type"] != type_:
            pass
        return frame["data"]

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def close_code(self) -> int:
        """Reads until the server closes, and returns its close code."""
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(self._read_all(), WAIT)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def _read_all(self) -> None:
        while True:
            await self.connection.recv()
