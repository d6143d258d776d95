"""People with phones, over HTTP, for the benchmarks."""

from typing import Any

import aiohttp

BASE = "/wx/api/qlive/"


async def log_in(http: aiohttp.ClientSession, name: str, gender: int) -> Any:
    """A new account: {"user_id", "token", …}."""
    async with http.post("/sim/phone/login", json={"name": name, "gender": gender}) as answer:
        phone = await answer.json()
    async with http.post(f"{BASE}qlive_user/", json=phone) as answer:
        return await answer.json()


async def call(
    http: aiohttp.ClientSession, person: Any, method: str, path: str, **body: Any
) -> Any:
    headers = {"Authorization": f"QLiveToken {person['token']}"}
    async with http.request(method, BASE + path, json=body or None, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.json()


async def operate(
    http: aiohttp.ClientSession, ops_token: str, method: str, path: str, **body: Any
) -> None:
    headers = {"Authorization": f"Bearer {ops_token}"}
    async with http.request(method, f"/ops/api/{path}", json=body, headers=headers) as answer:
        answer.raise_for_status()


async def open_room(http: aiohttp.ClientSession, ops_token: str) -> tuple[Any, int]:
    """A host, and her live_id."""
    host = await log_in(http, "host", 2)
    await operate(http, ops_token, "PATCH", f"users/{host['user_id']}", is_matchmaker=True)
    entered = await call(http, host, "POST", "qlive_room/matchmaker_enter/")
    return host, entered["live_id"]
