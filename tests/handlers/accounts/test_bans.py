"""A ban, a removal from a room and a logout end the user's calls, socket, chat and stream."""

import time
from typing import Any

import pytest

from runtime.process import ServerProcess
from services.accounts.sessions import EvictionService
from storage.accounts.tokens import EvictionStore
from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.chat import (
    KICKED,
    OK,
    chat,
    commands,
    group_of,
    until_delivered,
    user_sig,
)
from tests.support.mic import take_seat
from tests.support.races import run_after, run_before
from tests.support.waiting import until
from tests.support.websockets import close_code_of

PUT_OUT = "qlive_room/put_out/"


async def ban(api: ApiFixture, client: ApiClient, *, banned: bool = True) -> None:
    (await api.ops("PATCH", f"users/{client.id}", banned=banned, ban_reason="rude")).ok()


def muted(server: ServerProcess, group_id: str) -> dict[str, float]:
    """Remaining seconds by user, as the simulated IM has them."""
    assert server.simulator
    now, rows = time.time(), server.simulator.im.muted.get(group_id, {})
    return {user_id: until - now for user_id, until in rows.items() if until > now}


async def test_ban_reaches_calls_login_socket_chat_and_stream_and_is_undone_when_lifted(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    group_id, sig, socket = await group_of(anna), await user_sig(anna), await anna.connect()
    assert await chat(api, anna.id, sig, group_id) == OK
    await socket.next("snapshot")

    await ban(api, anna)
    for reply in (
        await anna.get("qlive_user/get_userinfo/"),
        await anna.post("qlive_user/update_userinfo/", nickname="x"),
        await api.log_in("anna"),
        await api.request("POST", f"{BASE}qlive_user/", json=await api.wechat("anna", 2)),
    ):
        assert reply.refusal == (403, "banned")
    assert db.tokens.count_documents({"user_id": anna.id, "revoked": False}) == 0
    assert db.tokens.count_documents({"user_id": anna.id}) == 1, "no session is begun"
    assert await close_code_of(socket) == 4503
    assert await close_code_of(await anna.connect()) == 4503
    for _ in range(2):
        (await anna.get("qlive_user/logout/")).ok()
    await until_delivered(server)
    assert await chat(api, anna.id, sig, group_id) == KICKED
    assert muted(server, group_id).keys() == {anna.id}
    for command in ("/kick", "/forbid_send_msg", "/live"):
        assert [entry["outcome"] for entry in await commands(api, command)] == ["ok"], command

    await ban(api, anna, banned=False)
    await until_delivered(server)
    assert muted(server, group_id) == {}
    assert (await anna.get("qlive_user/get_userinfo/")).refusal == (401, "token")
    assert await close_code_of(await anna.connect()) == 4401
    back = ApiClient(api, "anna", (await api.log_in("anna")).ok())
    (await back.get("get_playurl/", live_id=host.live_id)).ok()
    await (await back.connect(host.live_id)).next("snapshot")

    async def may_chat() -> bool:  # a UserSig of the second of the kick is not accepted
        return await chat(api, back.id, await user_sig(back), group_id) == OK

    await until(may_chat)


async def test_ban_during_a_login_leaves_no_session(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    run_before(server.context.stores.tokens, "issue", lambda: ban(api, anna))
    assert (await api.log_in("anna")).refusal == (403, "banned")
    assert db.tokens.count_documents({"user_id": anna.id, "revoked": False}) == 0


# ---- removed from a room


async def test_lifting_undoes_the_mute_of_a_ban_that_was_stored_meanwhile(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    group_id = await group_of(anna)

    async def ban_before() -> None:
        await ban(api, anna)
        await until_delivered(server)
        assert muted(server, group_id).keys() == {anna.id}

    run_before(server.context.stores.users, "update_with", ban_before)
    await ban(api, anna, banned=False)
    await until_delivered(server)
    assert muted(server, group_id) == {}


@pytest.mark.parametrize("where", ["everywhere", "the room"])
async def test_a_late_notice_of_a_removal_spares_a_user_who_is_back(
    api: ApiFixture, server: ServerProcess, where: str
) -> None:
    context = server.context
    late = EvictionService(EvictionStore(context.database), context.bus, "another process")
    await late.receive()
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    if where == "everywhere":
        await ban(api, anna)
        await until_delivered(server)  # the outbox repeats a ban until it is lifted
        await ban(api, anna, banned=False)
    else:
        target = {"live_id": host.live_id, "user_id": anna.id}
        (await host.post(PUT_OUT, **target)).ok()
        await api.ops("POST", f"rooms/{host.live_id}/let_in", user_id=anna.id, reason="back")
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    await late.receive()
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")


async def test_a_ban_that_is_enforced_late_spares_what_its_user_has_begun_since(
    api: ApiFixture, server: ServerProcess
) -> None:
    context = server.context
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await ban(api, anna)
    await until_delivered(server)
    back = []

    async def lift_and_return() -> None:
        await ban(api, anna, banned=False)
        back.append(await api.guest("anna", 2, host.live_id))

    run_after(context.stores.users, "find", lift_and_return)
    await context.services.rooms.removals.enforce_ban(anna.id)
    (returned,) = back
    (await returned.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
