"""The room's WebSocket as a plain Tornado handler, beside the reads of bench/calls, on uvloop."""

import sys
from collections import defaultdict
from typing import Any

import uvloop
from tornado.websocket import WebSocketHandler

from bench.calls.peer_queries import PeerQueries
from bench.calls.peers.tornado_ import BASE_PATH, read_routes, serve
from bench.joins.join_queries import BYE, BYE_CODE, JoinQueries, JoinRefused

ROOMS: defaultdict[int, set[WebSocketHandler]] = defaultdict(set)
"""Sockets by live_id."""


class PeerSocketHandler(WebSocketHandler):
    def initialize(self, queries: JoinQueries) -> None:
        self.queries = queries
        self.live_id = int(self.get_query_argument("live_id"))

    async def open(self, *_args: str, **_kwargs: str) -> None:
        self.set_nodelay(True)
        authorization = self.request.headers.get("Authorization", "")
        since = self.get_query_argument("since", "")
        epoch = self.get_query_argument("epoch", "")
        position = int(since) if since else None
        try:
            messages = await self.queries.join(authorization, self.live_id, position, epoch)
        except JoinRefused:
            self.write_message(BYE)
            self.close(BYE_CODE)
            return
        ROOMS[self.live_id].add(self)
        for message in messages:
            self.write_message(message)

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_close(self) -> None:
        ROOMS[self.live_id].discard(self)


def join_routes(queries: JoinQueries) -> list[Any]:
    return [(f"{BASE_PATH}/ws/", PeerSocketHandler, {"queries": queries})]


if __name__ == "__main__":
    source = sys.argv[1:3]
    uvloop.run(serve(join_routes(JoinQueries(*source)) + read_routes(PeerQueries(*source))))
