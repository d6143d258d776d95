"""The room's WebSocket on FastAPI, uvicorn and websockets, beside the reads of bench/calls."""

import sys
from collections import defaultdict

from fastapi import WebSocket

from bench.calls.peers.fastapi_ import BASE_PATH, Authorization, app, serve
from bench.joins.join_queries import BYE, BYE_CODE, JoinQueries, JoinRefused

ROOMS: defaultdict[int, set[WebSocket]] = defaultdict(set)
"""Sockets by live_id."""
queries = JoinQueries(*sys.argv[1:3])


@app.websocket(f"{BASE_PATH}/ws/")
async def join(
    socket: WebSocket,
    live_id: int,
    authorization: Authorization = "",
    since: int | None = None,
    epoch: str = "",
) -> None:
    await socket.accept()
    try:
        messages = await queries.join(authorization, live_id, since, epoch)
    except JoinRefused:
        await socket.send_text(BYE)
        await socket.close(BYE_CODE)
        return
    ROOMS[live_id].add(socket)
    try:
        for message in messages:
            await socket.send_text(message)
        async for _ in socket.iter_text():
            pass
    finally:
        ROOMS[live_id].discard(socket)


if __name__ == "__main__":
    serve()
