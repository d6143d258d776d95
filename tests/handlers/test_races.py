"""Concurrent, repeated and interrupted requests."""

import asyncio
from typing import Any

import pytest

from rooms.members import Person
from rooms.room import Room
from runtime.process import ServerProcess
from storage.accounts.users import User
from tests.support.api import ApiFixture
from tests.support.waiting import until


@pytest.mark.gen_test(timeout=20)
async def test_concurrent_entries_into_another_room_never_evict_the_user_from_it(
    api: ApiFixture, server: ServerProcess
) -> None:
    first_host, second_host = await api.host("红娘一"), await api.host("红娘二")
    bert = await api.user("bert", 1)
    evicted_from: list[int] = []
    evict = server.context.hub.evict

    def record_evict(
        live_id: int, user_id: str, connection_number: int | None, *, banned_until_left: bool
    ) -> None:
        evicted_from.append(live_id)
        evict(live_id, user_id, connection_number, banned_until_left=banned_until_left)

    server.context.hub.evict = record_evict  # type: ignore[method-assign]
    for _ in range(5):
        (await bert.get("get_playurl/", live_id=first_host.live_id)).ok()
        evicted_from.clear()
        calls = [bert.get("get_playurl/", live_id=second_host.live_id) for _ in range(4)]
        for reply in await asyncio.gather(*calls):
            assert reply.status in {200, 503}
        assert second_host.live_id not in evicted_from
        state = (await bert.get("qlive_user/get_user_state/")).ok()
        assert state["live_id"] == second_host.live_id


@pytest.mark.gen_test(timeout=20)
async def test_logout_during_room_entry_is_enforced(api: ApiFixture, server: ServerProcess) -> None:
    host = await api.host()
    bert = await api.user("bert", 1)
    enter = server.context.keeper.enter

    async def enter_after_logout(live_id: int, person: Person) -> Room:
        (await bert.get("qlive_user/logout/")).ok()
        return await enter(live_id, person)

    server.context.keeper.enter = enter_after_logout  # type: ignore[method-assign]
    entered = await bert.get("get_playurl/", live_id=host.live_id)
    assert entered.refusal == (401, "token")
    assert await server.context.stores.members.get(bert.id) is None


@pytest.mark.gen_test(timeout=20)
async def test_repeated_logout_completes_an_interrupted_one(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await server.context.stores.tokens.revoke(bert.token)  # as if the process had died here
    assert await server.context.stores.members.get(bert.id) is not None
    (await bert.get("qlive_user/logout/")).ok()
    assert await server.context.stores.members.get(bert.id) is None


@pytest.mark.gen_test(timeout=20)
async def test_late_repeated_logout_does_not_affect_a_newer_login(api: ApiFixture) -> None:
    host = await api.host()
    first_login = await api.guest("bert", 1, host.live_id)
    (await first_login.get("qlive_user/logout/")).ok()
    bert = await api.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    await socket.next("snapshot")
    assert (await first_login.get("qlive_user/logout/")).ok() == {"detail": "OK"}
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")


@pytest.mark.gen_test(timeout=20)
async def test_matchmaker_role_revoked_during_entry_prevents_the_live(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    get_or_create = server.context.stores.rooms.get_or_create

    async def get_or_create_then_revoke(person: Person) -> tuple[int, str, bool]:
        room = await get_or_create(person)
        (await api.ops("PATCH", f"users/{host.id}", is_matchmaker=False)).ok()
        return room

    server.context.stores.rooms.get_or_create = get_or_create_then_revoke  # type: ignore[method-assign]
    entered = await host.post("qlive_room/matchmaker_enter/")
    assert entered.refusal == (403, "not_matchmaker")
    assert not (await server.context.keeper.load(host.live_id)).live


@pytest.mark.gen_test(timeout=20)
async def test_repeated_leave_after_a_lost_response_closes_the_socket(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    await socket.next("snapshot")
    # As if the departure had been stored, but not published.
    await server.context.stores.rooms._members._members.delete_one({"_id": bert.id})
    (await bert.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    assert await socket.close_code() == 4504


@pytest.mark.gen_test(timeout=20)
async def test_invited_user_cannot_change_gender(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    params = {"live_id": host.live_id, "user_id": bert.id}
    (await host.post("qlive_room/invite_micro/", **params)).ok()
    changed = await bert.post("qlive_user/update_userinfo/", gender=2)
    assert changed.refusal == (409, "gender_in_use")
    (await bert.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
    assert (await bert.post("qlive_user/update_userinfo/", gender=2)).ok()["gender"] == 2


@pytest.mark.gen_test(timeout=20)
async def test_retried_gift_succeeds_after_the_gift_was_deleted(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=10)
    gift = {"user_id": host.id, "gift_id": 1, "num": 2, "request_id": "r1"}
    first = (await anna.get("qlive_gift/push_gift/", **gift)).ok()
    (await api.ops("DELETE", "gifts/1")).ok()
    assert (await anna.get("qlive_gift/push_gift/", **gift)).ok() == first
    assert (await anna.get("qlive_gift/push_gift/", **gift | {"num": 3})).status == 409


@pytest.mark.gen_test(timeout=30)
async def test_fifty_concurrent_retries_of_a_gift_get_the_same_response(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=2)
    gift = {"user_id": host.id, "gift_id": 1, "num": 2, "request_id": "whole balance"}
    calls = [anna.get("qlive_gift/push_gift/", **gift) for _ in range(50)]
    replies = [reply.ok() for reply in await asyncio.gather(*calls)]
    assert replies == [{"status": "success", "gold": 0, "income": 0}] * 50


@pytest.mark.gen_test(timeout=20)
async def test_requests_of_disconnected_clients_are_released(
    api: ApiFixture, server: ServerProcess
) -> None:
    port = int(server.address.rpartition(":")[2])
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /wx/api/qlive/qlive_user/login/ HTTP/1.1\r\nHost: q\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    (await api.request("GET", "/healthz")).ok()

    assert await until(lambda: server.context.lifecycle.requests == 0)


@pytest.mark.gen_test(timeout=20)
async def test_reconnecting_after_the_end_of_a_live_closes_with_ended(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    socket = await bert.connect(since=0, epoch="e")
    assert (await socket.frame())["reason"] == "ended"
    assert await socket.close_code() == 4510


@pytest.mark.gen_test(timeout=20)
async def test_outdated_nickname_is_not_published_after_a_newer_one(
    api: ApiFixture, server: ServerProcess
) -> None:
    """The first request is delayed, for example by a stopped process, and overtaken."""
    host = await api.host()
    socket = await host.connect()
    await socket.next("snapshot")
    update_with = server.context.stores.users.update_with

    async def update_then_overtaken(*args: Any, **fields: object) -> User:
        server.context.stores.users.update_with = update_with  # type: ignore[method-assign]
        user = await update_with(*args, **fields)
        (await host.post("qlive_user/update_userinfo/", nickname="later")).ok()
        return user

    server.context.stores.users.update_with = update_then_overtaken  # type: ignore[method-assign]
    (await host.post("qlive_user/update_userinfo/", nickname="earlier")).ok()
    (await host.post("qlive_user/update_userinfo/", nickname="last")).ok()
    nicknames = [(await socket.next("profile"))["data"]["nickname"] for _ in range(2)]
    assert nicknames == ["later", "last"]
