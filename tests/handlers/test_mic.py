import asyncio
from typing import Any

import pytest

from tests.examples import rounds
from tests.phones import Phone, Socket, Street

ROOM = "qlive_room/"


async def opened(phone: Phone) -> Socket:
    """A socket that has heard what was before."""
    socket = await phone.connect()
    await socket.next("snapshot")
    return socket


async def user_type(phone: Phone) -> int:
    kind: int = (await phone.get("qlive_user/get_user_state/")).ok()["user_type"]
    return kind


async def do(phone: Phone, what: str, **more: Any) -> Any:
    call = phone.get if what == "leave_micro" else phone.post
    return await call(f"{ROOM}{what}/", live_id=phone.live_id, **more)


async def sit(phone: Phone) -> None:
    (await do(phone, "apply_micro")).ok()
    (await do(phone, "accept_micro")).ok()


# ---- apply_micro


@pytest.mark.gen_test(timeout=20)
async def test_whoever_applies_is_heard_once(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await opened(host)
    for _ in range(3):
        assert (await do(anna, "apply_micro")).ok() == {"detail": "OK"}
    told = (await socket.next("micro_apply"))["data"]
    assert told["user_id"] == anna.id
    assert told["expires_at"] - told["applied_at"] == 600_000
    (await do(anna, "refuse_micro")).ok()
    assert (await socket.next("micro_refuse"))["data"]["reason"] == "withdrawn"


@pytest.mark.gen_test(timeout=20)
async def test_who_may_not_apply(street: Street) -> None:
    host = await street.host()
    outside = await street.person("outside", 2)
    outside.live_id = host.live_id
    assert (await do(outside, "apply_micro")).refusal == (409, "not_in_room")
    unset = await street.guest("unset", 0, host.live_id)
    assert (await do(unset, "apply_micro")).refusal == (409, "no_gender")
    anna = await street.guest("anna", 2, host.live_id)
    await sit(anna)
    assert (await do(anna, "apply_micro")).refusal == (409, "on_mic")
    assert (await do(host, "apply_micro")).refusal == (409, "on_mic")
    assert [await user_type(phone) for phone in (outside, unset, anna, host)] == [0, 1, 4, 5]


# ---- accept_micro


@pytest.mark.gen_test(timeout=20)
async def test_whoever_accepts_sits_and_pushes(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100", face_url=face)).ok()
    socket = await opened(host)
    (await do(anna, "apply_micro")).ok()
    seat = (await do(anna, "accept_micro")).ok()
    shown = {name: seat[name] for name in ("nickname", "area", "age", "user_id", "gender")}
    assert shown == {
        "nickname": "anna",
        "area": "310100",
        "age": 27,
        "user_id": anna.id,
        "gender": 2,
    }
    assert seat["face_url"] == face
    assert seat["push_url"].startswith("rtmp://push.")
    assert seat["play_url"].startswith("rtmp://play.")
    await socket.next("micro_apply")
    told = (await socket.next("micro_accept"))["data"]
    assert (told["user_id"], told["age"]) == (anna.id, 27)
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_accepting_again_is_the_same_seat_and_is_not_told(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    await sit(anna)
    socket = await opened(host)
    first, second = [(await do(anna, "accept_micro")).ok() for _ in range(2)]
    assert first["push_url"].split("?")[0] == second["push_url"].split("?")[0]
    assert second["push_url"]
    (await do(anna, "leave_micro")).ok()
    await socket.next("micro_leave")


@pytest.mark.gen_test(timeout=20)
async def test_who_may_not_accept(street: Street) -> None:
    host = await street.host()
    bert, carl, anna = [
        await street.guest(name, gender, host.live_id)
        for name, gender in (("bert", 1), ("carl", 1), ("anna", 2))
    ]
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")
    await sit(bert)
    (await do(carl, "apply_micro")).ok()
    assert (await do(carl, "accept_micro")).refusal == (409, "seat_taken")
    assert await user_type(carl) == 2
    outside = await street.person("outside", 2)
    outside.live_id = host.live_id
    assert (await do(outside, "accept_micro")).refusal == (409, "not_in_room")
    unset = await street.guest("unset", 0, host.live_id)
    assert (await do(unset, "accept_micro")).refusal == (409, "no_gender")
    assert (await do(host, "accept_micro")).refusal == (409, "on_mic")


@pytest.mark.parametrize("changes", [{"micro": {"admission": "invited"}}])
@pytest.mark.gen_test(timeout=20)
async def test_invited_only_means_that_an_application_is_not_enough(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await do(anna, "apply_micro")).ok()
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")
    (await do(host, "invite_micro", user_id=anna.id)).ok()
    (await do(anna, "accept_micro")).ok()


@pytest.mark.parametrize("changes", [{"micro": {"admission": "open"}}])
@pytest.mark.gen_test(timeout=20)
async def test_open_means_that_a_viewer_just_sits_down(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await do(anna, "accept_micro")).ok()
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=60)
async def test_of_two_who_accept_at_once_exactly_one_sits(street: Street) -> None:
    host = await street.host()
    men = [await street.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    for _ in range(rounds(30)):
        await asyncio.gather(*(do(man, "apply_micro") for man in men))
        answers = await asyncio.gather(*(do(man, "accept_micro") for man in men))
        assert sorted(answer.status for answer in answers) == [200, 409]
        seated, late = men if answers[0].status == 200 else men[::-1]
        refused = next(answer for answer in answers if answer.status == 409)
        assert refused.refusal == (409, "seat_taken")
        seen = (await late.get("get_playurl/", live_id=host.live_id)).ok()
        assert (seen["male"]["user_id"], seen["num_list"]) == (seated.id, [1, 2, 0, 0])
        (await do(seated, "leave_micro")).ok()


# ---- refuse_micro


@pytest.mark.gen_test(timeout=20)
async def test_refusing_ends_an_application_or_an_invitation(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await opened(host)
    (await do(anna, "apply_micro")).ok()
    assert (await do(anna, "refuse_micro")).ok() == {"detail": "OK"}
    (await do(host, "invite_micro", user_id=anna.id)).ok()
    assert (await do(anna, "refuse_micro")).ok() == {"detail": "OK"}
    heard = [await socket.next() for _ in range(4)]
    kinds = [frame["type"] for frame in heard]
    assert kinds == ["micro_apply", "micro_refuse", "micro_invite", "micro_refuse"]
    assert [heard[1]["data"]["reason"], heard[3]["data"]["reason"]] == ["withdrawn", "refused"]
    assert await user_type(anna) == 1
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.gen_test(timeout=20)
async def test_refusing_nothing_is_fine_and_keeps_the_seat(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    assert (await do(anna, "refuse_micro")).ok() == {"detail": "OK"}
    await sit(anna)
    assert (await do(anna, "refuse_micro")).ok() == {"detail": "OK"}
    assert await user_type(anna) == 4
    anna.live_id = 4711
    assert (await do(anna, "refuse_micro")).refusal == (404, "no_such_room")


# ---- leave_micro


@pytest.mark.gen_test(timeout=20)
async def test_a_guest_leaves_the_mic_and_stays_in_the_room(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    await sit(anna)
    socket = await opened(host)
    for _ in range(2):
        assert (await do(anna, "leave_micro", gender=2)).ok() == {"detail": "OK"}
    told = (await socket.next("micro_leave"))["data"]
    assert (told["user_id"], told["reason"]) == (anna.id, "left")
    assert await user_type(anna) == 1
    (await do(anna, "apply_micro")).ok()
    await socket.next("micro_apply")


@pytest.mark.gen_test(timeout=20)
async def test_the_host_takes_anybody_off_the_mic_or_out_of_the_queue(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    await sit(anna)
    (await do(bert, "apply_micro")).ok()
    socket = await opened(host)
    (await do(host, "leave_micro", user_id=anna.id)).ok()
    told = (await socket.next("micro_leave"))["data"]
    assert (told["user_id"], told["reason"]) == (anna.id, "host")
    (await do(host, "leave_micro", user_id=bert.id, gender=1)).ok()
    told = (await socket.next("micro_refuse"))["data"]
    assert (told["user_id"], told["reason"]) == (bert.id, "host")
    assert [await user_type(phone) for phone in (anna, bert)] == [1, 1]
    (await do(host, "leave_micro", user_id=bert.id)).ok()
    (await do(host, "leave_micro")).ok()
    assert await user_type(host) == 5


@pytest.mark.gen_test(timeout=20)
async def test_nobody_else_takes_anybody_off_the_mic(street: Street) -> None:
    host, other = await street.host(), await street.host("other")
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    await sit(anna)
    other.live_id = host.live_id
    for stranger in (bert, other):
        answer = await do(stranger, "leave_micro", user_id=anna.id)
        assert answer.refusal == (403, "not_host")
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_the_gender_must_be_that_of_the_guest(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    await sit(anna)
    for phone in (anna, host):
        answer = await do(phone, "leave_micro", user_id=anna.id, gender=1)
        assert answer.refusal == (400, "bad_parameter")
        assert answer.json["fields"].keys() == {"gender"}
    assert await user_type(anna) == 4
    anna.live_id = 4711
    assert (await do(anna, "leave_micro")).refusal == (404, "no_such_room")


# ---- invite_micro


@pytest.mark.gen_test(timeout=20)
async def test_an_invitation_lets_a_viewer_sit_down(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await opened(anna)
    assert (await do(host, "invite_micro", user_id=anna.id)).ok() == {"detail": "OK"}
    assert (await socket.next("micro_invite"))["data"]["user_id"] == anna.id
    assert await user_type(anna) == 1
    (await do(anna, "accept_micro")).ok()
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_who_may_not_be_invited_and_who_may_not_invite(street: Street) -> None:
    host = await street.host()
    bert, carl, unset = [
        await street.guest(name, gender, host.live_id)
        for name, gender in (("bert", 1), ("carl", 1), ("unset", 0))
    ]
    outside = await street.person("outside", 2)
    await sit(bert)
    for target, refusal in (
        (carl.id, (409, "seat_taken")),
        (bert.id, (409, "on_mic")),
        (host.id, (409, "on_mic")),
        (unset.id, (409, "no_gender")),
        (outside.id, (409, "not_in_room")),
        ("10000000", (404, "no_such_user")),
        ("", (400, "bad_parameter")),
    ):
        assert (await do(host, "invite_micro", user_id=target)).refusal == refusal, refusal
    assert (await do(carl, "invite_micro", user_id=carl.id)).refusal == (403, "not_host")
    assert (await do(carl, "accept_micro")).refusal == (409, "seat_taken")


# ---- time


@pytest.mark.parametrize("changes", [{"micro": {"application_seconds": 0.2}}])
@pytest.mark.gen_test(timeout=20)
async def test_an_application_runs_out(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await opened(host)
    (await do(anna, "apply_micro")).ok()
    await socket.next("micro_apply")
    told = (await socket.next("micro_refuse"))["data"]
    assert (told["user_id"], told["reason"]) == (anna.id, "expired")
    assert await user_type(anna) == 1
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.parametrize("changes", [{"micro": {"invitation_seconds": 0.2}}])
@pytest.mark.gen_test(timeout=20)
async def test_an_invitation_runs_out(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await opened(host)
    (await do(host, "invite_micro", user_id=anna.id)).ok()
    await socket.next("micro_invite")
    assert (await socket.next("micro_refuse"))["data"]["reason"] == "expired"
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.gen_test(timeout=20)
async def test_an_application_that_is_over_admits_nobody_even_before_it_is_cleared_away(
    street: Street, db: Any
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await do(anna, "apply_micro")).ok()
    over = {"$set": {f"applications.{anna.id}.expires_at": 0}, "$unset": {"due_at": ""}}
    db.rooms.update_one({"_id": host.live_id}, over)
    assert (await do(anna, "accept_micro")).refusal == (409, "not_admitted")


# ---- what all of them refuse


@pytest.mark.parametrize(
    "what", ["apply_micro", "invite_micro", "accept_micro", "refuse_micro", "leave_micro"]
)
@pytest.mark.gen_test(timeout=20)
async def test_the_banned_the_lost_and_the_late(street: Street, what: str) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    other = {"user_id": anna.id} if what == "invite_micro" else {}
    host.live_id, live_id = 4711, host.live_id
    assert (await do(host, what, **other)).refusal == (404, "no_such_room")
    host.live_id = live_id
    (await do(host, "live_end")).ok()
    late = await do(host if other else anna, what, **other)
    if what in ("refuse_micro", "leave_micro"):
        assert late.ok() == {"detail": "OK"}
    else:
        assert late.refusal == (409, "not_live")
    (await street.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    assert (await do(anna, what, **other)).refusal == (403, "banned")
