"""Operators' endpoint for sessions: list and end the logins of a user."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.documents import token_id
from tests.support.api import ApiFixture
from tests.support.chat import KICKED, OK, chat, until_delivered, user_sig
from tests.support.operators import operator_request
from tests.support.websockets import close_code_of

server_test = pytest.mark.gen_test(timeout=20)
REASON = {"reason": "the phone was stolen"}


@server_test
async def test_sessions_are_listed_without_their_tokens(api: ApiFixture) -> None:
    phone, tablet = await api.user("anna", 2), await api.user("anna", 2)
    await api.user("bert", 1)
    reply = await api.ops("GET", f"users/{phone.id}/sessions")
    rows = reply.ok()["items"]
    assert [row["id"] for row in rows] == [token_id(tablet.token), token_id(phone.token)]
    assert phone.token not in reply.text
    for row in rows:
        made, used, expires = (
            datetime.fromisoformat(row[name]) for name in ("made_at", "used_at", "expires_at")
        )
        assert made == used
        assert expires - made == timedelta(days=30)
    unknown = await api.ops("GET", "users/10000000/sessions")
    assert unknown.refusal == (404, "no_such_user")


@server_test
async def test_operator_ends_one_session_and_its_socket(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    phone = await api.guest("anna", 2, host.live_id)
    socket, tablet = await phone.connect(), await api.user("anna", 2)
    await socket.next("snapshot")
    sig, path = await user_sig(tablet), f"users/{phone.id}/sessions"
    ended = await api.ops("DELETE", path, id=token_id(phone.token), **REASON)
    assert ended.ok() == {"ended": 1}
    assert await close_code_of(socket) == 4401
    for _ in range(2):
        assert (await phone.get("qlive_user/get_userinfo/")).refusal == (401, "token")
    state = (await tablet.get("qlive_user/get_user_state/")).ok()
    assert state["live_id"] == host.live_id, "to be resumed after the next login"
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == OK
    again = await api.ops("DELETE", path, id=token_id(phone.token), **REASON)
    assert again.ok() == {"ended": 0}


@server_test
async def test_operator_ends_all_sessions_and_the_user_sigs(
    api: ApiFixture, server: ServerProcess
) -> None:
    phone, tablet = await api.user("anna", 2), await api.user("anna", 2)
    bert = await api.user("bert", 1)
    sig, path = await user_sig(tablet), f"users/{phone.id}/sessions"
    assert (await api.ops("DELETE", path, **REASON)).ok() == {"ended": 2}
    for client in (phone, tablet):
        assert (await client.get("get_configs/")).refusal == (401, "token")
        (await client.get("qlive_user/logout/")).ok()
    (await bert.get("get_configs/")).ok()
    assert (await api.ops("GET", path)).ok() == {"items": [], "next": None}
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == KICKED


@server_test
async def test_user_sigs_end_though_the_user_logs_in_again_at_once(
    api: ApiFixture, server: ServerProcess
) -> None:
    phone = await api.user("anna", 2)
    sig, tokens = await user_sig(phone), server.context.stores.tokens
    end_sessions = tokens.end_sessions

    async def end_and_log_in(user_id: str, id_: str | None = None) -> list[str]:
        ids = await end_sessions(user_id, id_)
        await api.user("anna", 2)
        return ids

    tokens.end_sessions = end_and_log_in  # type: ignore[method-assign]
    (await api.ops("DELETE", f"users/{phone.id}/sessions", **REASON)).ok()
    await until_delivered(server)
    assert await chat(api, phone.id, sig) == KICKED


@server_test
async def test_session_of_another_user_is_not_ended(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    path = f"users/{anna.id}/sessions"
    ended = await api.ops("DELETE", path, id=token_id(bert.token), **REASON)
    assert ended.ok() == {"ended": 0}
    (await bert.get("get_configs/")).ok()


@server_test
async def test_ending_sessions_requires_a_reason_and_is_audited(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}/sessions"
    for body in ({}, {"reason": ""}, {**REASON, "id": ""}, {**REASON, "id": "everything"}):
        assert (await api.ops("DELETE", path, **body)).refusal == (400, "bad_parameter"), body
    unknown = await api.ops("DELETE", "users/10000000/sessions", **REASON)
    assert unknown.refusal == (404, "no_such_user")
    (await anna.get("get_configs/")).ok()
    query: dict[str, Any] = {**REASON, "id": token_id(anna.token)}
    (await operator_request(api, "DELETE", path, params=query)).ok()
    entry = (await api.ops("GET", "audit")).ok()["items"][0]
    assert (entry["what"], entry["on"]) == ("DELETE Sessions", anna.id)
    assert (entry["reason"], entry["done"]) == (REASON["reason"], True)
