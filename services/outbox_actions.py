"""Actions of the outbox by message kind. All are safe to repeat."""

from collections.abc import Awaitable, Callable
from typing import Any

from core.clock import now_ms
from services.group_repairs import ENSURE, REPLACE
from services.groups import GroupService
from services.im_messages import kickout_message
from storage.users import UserStore
from tencent.css import CssClient
from tencent.im import ImClient

Payload = dict[str, Any]
Action = Callable[[Payload], Awaitable[None]]
CSS_KINDS = ("drop_stream",)
"""Message kinds sent to CSS; all others go to IM."""


def im_actions(
    im: ImClient,
    users: UserStore,
    groups: GroupService,
    show_in_room: Callable[[str], Awaitable[None]],
) -> dict[str, Action]:
    """Profiles are read when the message is delivered, not when it was queued.

    `show_in_room` updates the room of a user with a new face, which may have been cut short.
    """

    async def account_import(payload: Payload) -> None:
        user = await users.get(payload["user_id"])
        await im.account_import(user.user_id, user.nickname, user.face_url)

    async def portrait_set(payload: Payload) -> None:
        await show_in_room(payload["user_id"])
        user = await users.get(payload["user_id"])
        await im.portrait_set(user.user_id, user.nickname, user.face_url, user.gender)

    async def destroy_group(payload: Payload) -> None:
        await im.destroy_group(payload["group_id"])

    async def kick_out(payload: Payload) -> None:
        if now_ms() > payload["n"]:
            return  # the ban is over, and the user may be back
        message = kickout_message(payload["user_id"], payload["group_id"], payload["n"])
        await im.send_text(message.to, message.text, message.random, message.seconds)

    async def ensure_group(payload: Payload) -> None:
        await groups.ensure(payload["live_id"], payload["group_id"])

    async def replace_group(payload: Payload) -> None:
        await groups.replace(payload["live_id"], payload["group_id"])

    return {
        "account_import": account_import,
        "portrait_set": portrait_set,
        "destroy_group": destroy_group,
        "kick_out": kick_out,
        ENSURE: ensure_group,
        REPLACE: replace_group,
    }


def css_actions(css: CssClient) -> dict[str, Action]:
    async def drop_stream(payload: Payload) -> None:
        # Newest first: it may still be pushed.
        for stream in reversed(payload["streams"]):
            await css.drop(stream)

    return {"drop_stream": drop_stream}
