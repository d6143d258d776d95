"""The four endpoints as plain Tornado handlers on uvloop, one process."""

import asyncio
import json
import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from bench.calls.peer_queries import InvalidToken, PeerQueries

BASE_PATH = "/wx/api/qlive"


class AuthenticatedHandler(RequestHandler):
    def initialize(self, queries: PeerQueries) -> None:
        self.queries = queries

    async def prepare(self) -> None:
        try:
            authorization = self.request.headers.get("Authorization", "")
            self.user = await self.queries.authenticate(authorization)
        except InvalidToken:
            raise HTTPError(401) from None

    def respond(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False))


class PeerUserStateHandler(AuthenticatedHandler):
    async def get(self) -> None:
        self.respond(await self.queries.user_state(self.user))


class PeerUserInfoHandler(AuthenticatedHandler):
    async def get(self) -> None:
        self.respond(await self.queries.user_info(self.user))


class PeerLiveListHandler(AuthenticatedHandler):
    async def get(self) -> None:
        self.respond(await self.queries.live_list())


class PeerUsersInfoHandler(AuthenticatedHandler):
    async def get(self) -> None:
        live_id, gender = int(self.get_argument("live_id")), int(self.get_argument("gender"))
        self.respond(await self.queries.users_info(live_id, gender))


async def serve(uri: str, database: str) -> None:
    options = {"queries": PeerQueries(uri, database)}
    routes: list[Any] = [
        (f"{BASE_PATH}/qlive_user/get_user_state/", PeerUserStateHandler, options),
        (f"{BASE_PATH}/qlive_user/get_userinfo/", PeerUserInfoHandler, options),
        (f"{BASE_PATH}/get_livelist/", PeerLiveListHandler, options),
        (f"{BASE_PATH}/qlive_user/get_users_info/", PeerUsersInfoHandler, options),
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    server = HTTPServer(Application(routes, compress_response=False, log_function=lambda _: None))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:3]))
