"""Chat clients of the simulated Tencent IM, and the requests that it has received."""

import base64
import json
import zlib
from typing import Any

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.waiting import until

OK, MUTED, KICKED = 0, 10017, 70052


async def user_sig(client: ApiClient) -> str:
    """A new UserSig of the client's own."""
    return (await client.get("qlive_user/get_userinfo/")).ok()["user_sig"]


async def group_of(client: ApiClient) -> str:
    """The chat group of the client's room."""
    return (await client.get("qlive_user/get_user_state/")).ok()["group_id"]


async def chat(
    api: ApiFixture,
    user_id: str,
    sig: str,
    group_id: str | None = None,
    *,
    text: str = "",
    custom: str = "",
    to: str = "",
) -> int:
    """Log in to IM and, if there is a group, send to it; IM's error code.

    The server is asked about a `text`, or the data of a `custom` element; `to` is a user.
    """
    body: dict[str, Any] = {"user_id": user_id, "user_sig": sig, "group_id": group_id}
    if text:
        body["body"] = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
    if custom:
        body["body"] = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": custom}}]
    if to:
        body["to"] = to
    answer = (await api.request("POST", "/sim/phone/chat", json=body)).ok()
    return answer["ErrorCode"]


async def commands(api: ApiFixture, name: str) -> list[dict[str, Any]]:
    """The log entries of IM commands or CSS calls whose path ends so."""
    items = (await api.request("GET", "/sim/log")).ok()["items"]
    return [entry for entry in items if entry["path"].rstrip("/").endswith(name)]


async def until_delivered(server: ServerProcess) -> None:
    """Waits until nothing is left to send to Tencent."""

    async def is_empty() -> bool:
        return await server.context.stores.outbox.oldest() is None

    await until(is_empty)


def decode_usersig(usersig: str) -> dict[str, Any]:
    """The content of a UserSig, with its TLS.* fields."""
    packed = base64.b64decode(
        usersig.replace("*", "+").replace("-", "/").replace("_", "="), validate=True
    )
    return json.loads(zlib.decompress(packed))
