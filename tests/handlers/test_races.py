"""What happens when two things are asked for at once, or one twice, or half of one."""

import asyncio

import pytest

from rooms.people import Person
from rooms.room import Room
from server import Server
from storage.users import User
from tests.handlers.waiting import until
from tests.phones import Street


@pytest.mark.gen_test(timeout=30)
async def test_a_doubled_entry_into_another_room_never_shows_the_person_out_of_it(
    street: Street, server: Server
) -> None:
    first, second = await street.host("红娘一"), await street.host("红娘二")
    bert = await street.person("bert", 1)
    shown_out: list[int] = []
    show_out = server.parts.hub.show_out

    def note(live_id: int, user_id: str, number: int | None, *, barred: bool) -> None:
        shown_out.append(live_id)
        show_out(live_id, user_id, number, barred=barred)

    server.parts.hub.show_out = note  # type: ignore[method-assign]
    for _ in range(15):
        (await bert.get("get_playurl/", live_id=first.live_id)).ok()
        shown_out.clear()
        calls = [bert.get("get_playurl/", live_id=second.live_id) for _ in range(4)]
        for answer in await asyncio.gather(*calls):
            assert answer.status in {200, 503}
        assert second.live_id not in shown_out
        state = (await bert.get("qlive_user/get_user_state/")).ok()
        assert state["live_id"] == second.live_id


@pytest.mark.gen_test(timeout=20)
async def test_a_logout_that_comes_while_somebody_is_let_in_holds(
    street: Street, server: Server
) -> None:
    host = await street.host()
    bert = await street.person("bert", 1)
    enter = server.parts.keeper.enter

    async def logged_out_meanwhile(live_id: int, person: Person) -> Room:
        (await bert.get("qlive_user/logout/")).ok()
        return await enter(live_id, person)

    server.parts.keeper.enter = logged_out_meanwhile  # type: ignore[method-assign]
    entered = await bert.get("get_playurl/", live_id=host.live_id)
    assert entered.refusal == (401, "token")
    assert await server.parts.members.get(bert.id) is None


@pytest.mark.gen_test(timeout=20)
async def test_a_logout_cut_short_is_finished_by_its_repetition(
    street: Street, server: Server
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    await server.parts.tokens.revoke(bert.token)  # and then the process died
    assert await server.parts.members.get(bert.id) is not None
    (await bert.get("qlive_user/logout/")).ok()
    assert await server.parts.members.get(bert.id) is None


@pytest.mark.gen_test(timeout=20)
async def test_a_logout_that_comes_late_a_second_time_moves_nobody(street: Street) -> None:
    host = await street.host()
    old = await street.guest("bert", 1, host.live_id)
    (await old.get("qlive_user/logout/")).ok()
    bert = await street.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    await socket.next("snapshot")
    assert (await old.get("qlive_user/logout/")).ok() == {"detail": "OK"}
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")


@pytest.mark.gen_test(timeout=20)
async def test_a_matchmaker_dismissed_while_entering_does_not_go_live(
    street: Street, server: Server
) -> None:
    host = await street.host()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    of_host = server.parts.rooms.of_host

    async def dismissed_meanwhile(person: Person) -> tuple[int, str, bool]:
        found = await of_host(person)
        (await street.ops("PATCH", f"users/{host.id}", is_matchmaker=False)).ok()
        return found

    server.parts.rooms.of_host = dismissed_meanwhile  # type: ignore[method-assign]
    entered = await host.post("qlive_room/matchmaker_enter/")
    assert entered.refusal == (403, "not_matchmaker")
    assert not (await server.parts.keeper.look(host.live_id)).live


@pytest.mark.gen_test(timeout=20)
async def test_a_departure_whose_answer_was_lost_closes_the_socket_when_repeated(
    street: Street, server: Server
) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    await socket.next("snapshot")
    await server.parts.rooms._members._members.delete_one({"_id": bert.id})  # saved, not told
    (await bert.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    assert await socket.closed() == 4504


@pytest.mark.gen_test(timeout=20)
async def test_whoever_is_invited_keeps_the_gender_of_the_invitation(street: Street) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    invited = {"live_id": host.live_id, "user_id": bert.id}
    (await host.post("qlive_room/invite_micro/", **invited)).ok()
    changed = await bert.post("qlive_user/update_userinfo/", gender=2)
    assert changed.refusal == (409, "gender_in_use")
    (await bert.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
    assert (await bert.post("qlive_user/update_userinfo/", gender=2)).ok()["gender"] == 2


@pytest.mark.gen_test(timeout=20)
async def test_a_retried_gift_is_answered_though_the_gift_is_off_the_shelf(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=10)
    gift = {"user_id": host.id, "gift_id": 1, "num": 2, "request_id": "r1"}
    given = (await anna.get("qlive_gift/push_gift/", **gift)).ok()
    (await street.ops("DELETE", "gifts/1")).ok()
    assert (await anna.get("qlive_gift/push_gift/", **gift)).ok() == given
    assert (await anna.get("qlive_gift/push_gift/", **gift | {"num": 3})).status == 409


@pytest.mark.gen_test(timeout=30)
async def test_fifty_of_one_gift_at_once_that_empties_the_purse_are_answered_alike(
    street: Street,
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=2)
    gift = {"user_id": host.id, "gift_id": 1, "num": 2, "request_id": "all of it"}
    calls = [anna.get("qlive_gift/push_gift/", **gift) for _ in range(50)]
    answers = [answer.ok() for answer in await asyncio.gather(*calls)]
    assert answers == [{"status": "success", "gold": 0, "income": 0}] * 50


@pytest.mark.gen_test(timeout=20)
async def test_callers_who_hang_up_half_way_are_not_waited_for(
    street: Street, server: Server
) -> None:
    port = int(server.address.rpartition(":")[2])
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /wx/api/qlive/qlive_user/login/ HTTP/1.1\r\nHost: q\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    (await street.ask("GET", "/healthz")).ok()

    async def nobody_waits() -> bool:
        return server.parts.under_way == 0

    assert await until(nobody_waits)


@pytest.mark.gen_test(timeout=20)
async def test_whoever_comes_back_after_the_end_hears_that_it_was_the_end(street: Street) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    socket = await bert.connect(since=0, epoch="e")
    assert (await socket.frame())["reason"] == "ended"
    assert await socket.closed() == 4510


@pytest.mark.gen_test(timeout=20)
async def test_a_name_that_was_given_up_meanwhile_is_not_told_after_the_new_one(
    street: Street, server: Server
) -> None:
    """The first request is late: its process was stopped, say, and the phone has gone on."""
    host = await street.host()
    socket = await host.connect()
    await socket.next("snapshot")
    update_profile = server.parts.users.update_profile

    async def late(user_id: str, **fields: object) -> User:
        server.parts.users.update_profile = update_profile  # type: ignore[method-assign]
        user = await update_profile(user_id, **fields)
        (await host.post("qlive_user/update_userinfo/", nickname="later")).ok()
        return user

    server.parts.users.update_profile = late  # type: ignore[method-assign]
    (await host.post("qlive_user/update_userinfo/", nickname="earlier")).ok()
    (await host.post("qlive_user/update_userinfo/", nickname="last")).ok()
    told = [(await socket.next("profile"))["data"]["nickname"] for _ in range(2)]
    assert told == ["later", "last"]
