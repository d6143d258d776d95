"""HTTP calls of simulated users and operators, for the benchmarks."""

from typing import Any

import aiohttp

BASE_PATH = "/wx/api/qlive/"


async def log_in(http: aiohttp.ClientSession, name: str, gender: int) -> Any:
    """Create an account and sign in; returns {"user_id", "token", …}."""
    async with http.post("/sim/phone/login", json={"name": name, "gender": gender}) as response:
        credentials = await response.json()
    async with http.post(f"{BASE_PATH}qlive_user/", json=credentials) as response:
        return await response.json()


async def call_api(
    http: aiohttp.ClientSession, user: Any, method: str, path: str, **body: Any
) -> Any:
    headers = {"Authorization": f"QLiveToken {user['token']}"}
    url = BASE_PATH + path
    async with http.request(method, url, json=body or None, headers=headers) as response:
        response.raise_for_status()
        return await response.json()


async def log_in_operator(http: aiohttp.ClientSession) -> str:
    """Log in as the demo operator, an admin; returns the token."""
    async with http.post("/sim/operator/login") as response:
        response.raise_for_status()
        return str((await response.json())["token"])


async def call_ops_api(
    http: aiohttp.ClientSession, ops_token: str, method: str, path: str, **body: Any
) -> None:
    headers = {"Authorization": f"Bearer {ops_token}"}
    async with http.request(method, f"/ops/api/{path}", json=body, headers=headers) as response:
        response.raise_for_status()


async def open_room(http: aiohttp.ClientSession, ops_token: str) -> tuple[Any, int]:
    """Create a host and open her room; returns (host, live_id)."""
    host = await log_in(http, "host", 2)
    await call_ops_api(http, ops_token, "PATCH", f"users/{host['user_id']}", is_matchmaker=True)
    room = await call_api(http, host, "POST", "qlive_room/matchmaker_enter/")
    return host, room["live_id"]
