"""The four endpoints on FastAPI, uvicorn, uvloop and httptools, one process."""

import socket
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException

from bench.calls.peer_queries import InvalidToken, PeerQueries

app = FastAPI()
BASE_PATH = "/wx/api/qlive"
Authorization = Annotated[str, Header()]
queries = PeerQueries(*sys.argv[1:3])


async def authenticate(authorization: Authorization = "") -> dict[str, Any]:
    try:
        return await queries.authenticate(authorization)
    except InvalidToken:
        raise HTTPException(401) from None


CurrentUser = Annotated[dict[str, Any], Depends(authenticate)]


@app.get(f"{BASE_PATH}/qlive_user/get_user_state/")
async def get_user_state(user: CurrentUser) -> dict[str, Any]:
    return await queries.user_state(user)


@app.get(f"{BASE_PATH}/qlive_user/get_userinfo/")
async def get_userinfo(user: CurrentUser) -> dict[str, Any]:
    return await queries.user_info(user)


@app.get(f"{BASE_PATH}/get_livelist/")
async def get_livelist(_user: CurrentUser) -> list[dict[str, Any]]:
    return await queries.live_list()


@app.get(f"{BASE_PATH}/qlive_user/get_users_info/")
async def get_users_info(live_id: int, gender: int, _user: CurrentUser) -> list[dict[str, Any]]:
    return await queries.users_info(live_id, gender)


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        loop="uvloop",
        http="httptools",
        backlog=4096,
        ws_ping_interval=None,  # the clients of bench/joins answer no pings
        ws_per_message_deflate=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve()
