"""The four calls as plain Tornado handlers on uvloop, one process."""

import asyncio
import json
import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from bench.calls.look_ups import LookUps, NotSignedIn

BASE = "/wx/api/qlive"


class Signed(RequestHandler):
    def initialize(self, look_ups: LookUps) -> None:
        self.look_ups = look_ups

    async def prepare(self) -> None:
        try:
            said = self.request.headers.get("Authorization", "")
            self.user = await self.look_ups.signed_in(said)
        except NotSignedIn:
            raise HTTPError(401) from None

    def answer(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False))


class UserState(Signed):
    async def get(self) -> None:
        self.answer(await self.look_ups.user_state(self.user))


class Userinfo(Signed):
    async def get(self) -> None:
        self.answer(await self.look_ups.userinfo(self.user))


class Livelist(Signed):
    async def get(self) -> None:
        self.answer(await self.look_ups.livelist())


class UsersInfo(Signed):
    async def get(self) -> None:
        live_id, gender = int(self.get_argument("live_id")), int(self.get_argument("gender"))
        self.answer(await self.look_ups.users_info(live_id, gender))


async def main() -> None:
    given = {"look_ups": LookUps(*sys.argv[1:3])}
    routes: list[Any] = [
        (f"{BASE}/qlive_user/get_user_state/", UserState, given),
        (f"{BASE}/qlive_user/get_userinfo/", Userinfo, given),
        (f"{BASE}/get_livelist/", Livelist, given),
        (f"{BASE}/qlive_user/get_users_info/", UsersInfo, given),
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    server = HTTPServer(Application(routes, compress_response=False, log_function=lambda _: None))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
