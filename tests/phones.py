"""People with phones: foreign clients (aiohttp, websockets) that speak the contract."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from yarl import URL

from tests import described

BASE = "/wx/api/qlive/"
WAIT = 60.0


class Reply:
    """One answer: its status, headers and JSON."""

    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def refusal(self) -> tuple[int, str]:
        """(status, code) of a refusal, after a look at its envelope."""
        assert self.headers["Content-Type"].startswith("application/json"), self.text
        assert isinstance(self.json["detail"], str), self.text
        assert self.json["detail"], self.text
        return self.status, self.json["code"]

    def ok(self) -> Any:
        assert self.status == 200, f"{self.status}: {self.text}"
        return self.json


class Street:
    """Makes phones, and the operator, for one server at `address`."""

    def __init__(self, address: str, ops_token: str) -> None:
        self.address = address
        self._ops_token = ops_token
        self._http: aiohttp.ClientSession | None = None
        self._sockets: list[ClientConnection] = []

    async def close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        if self._http:
            await self._http.close()

    async def ask(self, method: str, path: str, **kwargs: Any) -> Reply:
        """Any request, by path from the root."""
        self._http = self._http or aiohttp.ClientSession()
        async with self._http.request(method, self.address + path, **kwargs) as answer:
            reply = Reply(answer.status, answer.headers, await answer.text())
        if not described.is_inside(URL(self.address).port):
            kind = reply.headers.get("Content-Type", "")
            described.check_answer(method, URL(path).path, reply.status, kind, reply.text)
        return reply

    async def ops(self, method: str, path: str, **body: Any) -> Reply:
        """A call of the operators' API, by path from /ops/api/."""
        headers = {"Authorization": f"Bearer {self._ops_token}"}
        return await self.ask(method, f"/ops/api/{path}", json=body, headers=headers)

    async def wechat(self, name: str, gender: int = 0, **wish: Any) -> dict[str, str]:
        """What a phone gets from WeChat: appId, code, encryptedData, iv. The code works once."""
        body = {"name": name, "gender": gender, **wish}
        answer: dict[str, str] = (await self.ask("POST", "/sim/phone/login", json=body)).ok()
        return answer

    async def outage(self, service: str, **how: Any) -> None:
        """A bad day of wechat, im or pay: status=500 or seconds=0.5; neither ends it."""
        (await self.ask("POST", "/sim/outage", json={"service": service, **how})).ok()

    async def person(self, name: str, gender: int = 0, *, gold: int = 0) -> "Phone":
        """Somebody who has an account and is logged in."""
        answer = await self.ask("POST", f"{BASE}qlive_user/", json=await self.wechat(name, gender))
        phone = Phone(self, name, answer.ok())
        if gold:
            given = await self.ops(
                "POST", f"users/{phone.id}/grant", gold=gold, reason="test", request_id=name
            )
            assert given.ok()["gold"] == gold
        return phone

    async def host(self, name: str = "红娘") -> "Phone":
        """A matchmaker whose room is live: `phone.live_id`."""
        phone = await self.person(name, 2)
        (await self.ops("PATCH", f"users/{phone.id}", is_matchmaker=True)).ok()
        entered = (await phone.post("qlive_room/matchmaker_enter/")).ok()
        phone.live_id = entered["live_id"]
        return phone

    async def guest(self, name: str, gender: int, live_id: int, *, gold: int = 0) -> "Phone":
        """Somebody who has come into a room."""
        phone = await self.person(name, gender, gold=gold)
        (await phone.get("get_playurl/", live_id=live_id)).ok()
        phone.live_id = live_id
        return phone

    async def socket(self, live_id: int, token: str | None = None, **query: Any) -> "Socket":
        """A WebSocket into a room; without a token the first frame has to bring it."""
        given = "&".join(f"{key}={value}" for key, value in {"live_id": live_id, **query}.items())
        address = self.address.replace("http", "ws", 1)
        headers = {"Authorization": f"QLiveToken {token}"} if token else None
        connection = await websockets.connect(
            f"{address}{BASE}ws/?{given}",
            additional_headers=headers,
            compression=None,
            create_connection=Line,
        )
        self._sockets.append(connection)
        return Socket(connection)


class Phone:
    """One person's phone, logged in."""

    def __init__(self, street: Street, name: str, account: dict[str, Any]) -> None:
        self.street = street
        self.name = name
        self.token: str = account["token"]
        self.id: str = account["user_id"]
        self.live_id = 0

    async def get(self, path: str, **params: Any) -> Reply:
        """A GET of the contract; parameters in the query, as wx.request sends them."""
        return await self.street.ask("GET", BASE + path, params=params, headers=self._authorization)

    async def post(self, path: str, **params: Any) -> Reply:
        """A POST of the contract; parameters as a JSON body."""
        return await self.street.ask("POST", BASE + path, json=params, headers=self._authorization)

    async def connect(self, live_id: int | None = None, **query: Any) -> "Socket":
        return await self.street.socket(live_id or self.live_id, self.token, **query)

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"QLiveToken {self.token}"}


class Line(ClientConnection):
    """Whatever is heard, by whichever test, is as the description says."""

    async def recv(self, decode: bool | None = None) -> Any:
        text = await super().recv(decode)
        if not described.is_inside(self.remote_address[1]):
            described.check_frame(text)
        return text


class Socket:
    """One room's socket as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def frame(self) -> dict[str, Any]:
        """The next frame, whatever it is."""
        text = await asyncio.wait_for(self.connection.recv(), WAIT)
        assert isinstance(text, str)
        frame: dict[str, Any] = json.loads(text)
        return frame

    async def next(self, type_: str | None = None) -> dict[str, Any]:
        """The next frame but for audience and heartbeat; of that type, if one is named."""
        while (frame := await self.frame())["type"] in ("audience", "heartbeat"):
            pass
        assert type_ in (None, frame["type"]), frame
        return frame

    async def audience(self) -> dict[str, Any]:
        """The data of the next audience frame."""
        while (frame := await self.frame())["type"] != "audience":
            pass
        data: dict[str, Any] = frame["data"]
        return data

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def closed(self) -> int:
        """The code with which the server closes, after whatever it still says."""
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(self._hear_out(), WAIT)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def _hear_out(self) -> None:
        while True:
            await self.connection.recv()
