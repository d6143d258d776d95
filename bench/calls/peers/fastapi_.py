"""The four calls on FastAPI and uvicorn with uvloop and httptools, one process."""

import socket
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException

from bench.calls.look_ups import LookUps, NotSignedIn

app = FastAPI()
BASE = "/wx/api/qlive"


async def signed_in(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
    try:
        return await look_ups.signed_in(authorization)
    except NotSignedIn:
        raise HTTPException(401) from None


User = Annotated[dict[str, Any], Depends(signed_in)]


@app.get(f"{BASE}/qlive_user/get_user_state/")
async def get_user_state(user: User) -> dict[str, Any]:
    return await look_ups.user_state(user)


@app.get(f"{BASE}/qlive_user/get_userinfo/")
async def get_userinfo(user: User) -> dict[str, Any]:
    return await look_ups.userinfo(user)


@app.get(f"{BASE}/get_livelist/")
async def get_livelist(_user: User) -> list[dict[str, Any]]:
    return await look_ups.livelist()


@app.get(f"{BASE}/qlive_user/get_users_info/")
async def get_users_info(live_id: int, gender: int, _user: User) -> list[dict[str, Any]]:
    return await look_ups.users_info(live_id, gender)


if __name__ == "__main__":
    look_ups = LookUps(*sys.argv[1:3])
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, access_log=False, log_level="error", loop="uvloop", http="httptools"
    )
    uvicorn.Server(config).run(sockets=[listening])
