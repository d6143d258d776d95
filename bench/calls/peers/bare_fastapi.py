"""The bare commands on FastAPI, beside the reads of fastapi_.py."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel

from bench.calls.bare_commands import BareCommands
from bench.calls.peers.fastapi_ import BASE_PATH, Authorization, app, serve

OK = {"detail": "OK"}
commands = BareCommands(*sys.argv[1:3])


class RoomBody(BaseModel):
    live_id: int


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await commands.prepare()
    yield


@app.post(f"{BASE_PATH}/qlive_room/apply_micro/")
@app.post(f"{BASE_PATH}/qlive_room/accept_micro/")
@app.post(f"{BASE_PATH}/qlive_room/refuse_micro/")
async def change(body: RoomBody, authorization: Authorization) -> dict[str, str]:
    await commands.change(authorization, body.live_id)
    return OK


@app.get(f"{BASE_PATH}/qlive_room/leave_micro/")
async def leave_micro(live_id: int, authorization: Authorization) -> dict[str, str]:
    await commands.change(authorization, live_id, drops_stream=True)
    return OK


@app.get(f"{BASE_PATH}/qlive_room/leave_room/")
async def leave_room(live_id: int, authorization: Authorization) -> dict[str, str]:
    await commands.leave(authorization, live_id)
    return OK


@app.get(f"{BASE_PATH}/get_playurl/")
async def enter(live_id: int, authorization: Authorization) -> dict[str, str]:
    await commands.enter(authorization, live_id)
    return OK


@app.get(f"{BASE_PATH}/qlive_gift/push_gift/")
async def give(user_id: str, authorization: Authorization) -> dict[str, str]:
    await commands.give(authorization, user_id)
    return OK


if __name__ == "__main__":
    app.router.lifespan_context = lifespan
    serve()
