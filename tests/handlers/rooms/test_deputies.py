"""Deputies over HTTP: named, resigning, ended; what they may do, and what others see of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.mic import take_seat
from tests.support.waiting import until

DEPUTY, DEPUTIES, ROOM = "qlive_room/deputy/", "qlive_room/deputies/", "qlive_room/"
NOT_HOST = (403, "not_host")
PAST = datetime(2026, 1, 1, tzinfo=UTC)


class Moderated:
    """A live with dora, a deputy, kim, another one, the guest bert, and the viewer carl."""

    def __init__(self, api: ApiFixture) -> None:
        self.api = api

    async def open(self) -> "Moderated":
        self.host = host = await self.api.host()
        self.live_id = host.live_id
        self.dora, self.kim = [await self.enter(name, 2) for name in ("dora", "kim")]
        self.bert, self.carl = [await self.enter(name, 1) for name in ("bert", "carl")]
        for deputy in (self.dora, self.kim):
            await name(host, deputy)
        await take_seat(self.bert)
        return self

    async def enter(self, user: str, gender: int) -> ApiClient:
        return await self.api.guest(user, gender, self.live_id)

    async def listed(self) -> list[str]:
        return [row["nickname"] for row in (await self.host.get(DEPUTIES)).ok()]


async def name(host: ApiClient, user: ApiClient, **more: Any) -> None:
    (await host.post(DEPUTY, user_id=user.id, on=1, **more)).ok()


async def change(socket: Socket, on: bool) -> str:
    """The user of the next frame, which says whether they are a deputy."""
    data = (await socket.next("deputy"))["data"]
    assert data.keys() == {"user_id", "nickname", "face_url", "gender", "on"}
    assert data["on"] is on
    return str(data["nickname"])


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("data_requests",)


@pytest.fixture
def room(api: ApiFixture) -> Moderated:
    return Moderated(api)


# ---- named and listed


async def test_the_host_names_three_members_of_her_live_and_everybody_sees_it(
    room: Moderated, api: ApiFixture
) -> None:
    await room.open()
    host, dora, bert = room.host, room.dora, room.bert
    socket = await room.carl.connect()
    assert (await socket.next("snapshot"))["data"]["deputies"] == [dora.id, room.kim.id]
    await name(host, dora)
    await name(host, bert, live_id=room.live_id)
    assert await change(socket, on=True) == "bert"
    fourth = await host.post(DEPUTY, user_id=room.carl.id, on=True)
    assert fourth.refusal == (409, "too_many_deputies")
    assert await room.listed() == ["dora", "kim", "bert"]
    shown = (await host.get(DEPUTIES)).ok()[0]
    assert shown == {"user_id": dora.id, "nickname": "dora", "face_url": "", "gender": 2}
    assert (await dora.get(DEPUTIES)).ok() == []
    detail = (await api.ops("GET", f"rooms/{room.live_id}")).ok()
    assert detail["deputies"][2] == {"user_id": bert.id, "nickname": "bert", "face_url": ""}


# ---- what they may do: tests/rooms/test_room_deputies.py has the rest of the table


ALLOWED = {
    "refuse an application": ("leave_micro", "eva", {}),
    "mute": ("mute", "bert", {"minutes": 5}),
    "lift a mute": ("mute", "bert", {"minutes": 0}),
    "put out": ("put_out", "eva", {"minutes": 5}),
}
FORBIDDEN = {
    "take a guest off the mic": ("leave_micro", "bert", {}),
    "put a deputy out": ("put_out", "kim", {}),
    "let in": ("let_in", "eva", {}),
    "see the bans": ("bans", "", {}),
    "mute all": ("mute_all", "", {"on": 1}),
    "invite": ("invite_micro", "eva", {}),
    "rename": ("update_room", "", {"room_name": "mine"}),
    "end the live": ("live_end", "", {}),
    "name a deputy": ("deputy", "eva", {"on": 1}),
}


async def test_what_a_deputy_may_do_and_what_not(room: Moderated) -> None:
    await room.open()
    eva = await room.enter("eva", 2)
    (await eva.post(ROOM + "apply_micro/", live_id=room.live_id)).ok()
    people = {"eva": eva, "bert": room.bert, "kim": room.kim}

    async def ask(client: ApiClient, call: str, target: str, more: dict[str, Any]) -> Any:
        params = {"live_id": room.live_id, **more}
        if target:
            params["user_id"] = people[target].id
        send = client.get if call in ("leave_micro", "bans") else client.post
        return await send(f"{ROOM}{call}/", **params)

    for does, row in FORBIDDEN.items():
        assert (await ask(room.dora, *row)).refusal == NOT_HOST, does
    for does, row in ALLOWED.items():
        assert (await ask(room.bert, *row)).refusal == NOT_HOST, does
    private = {"live_id": room.live_id, "visibility": "private"}
    (await room.host.post(ROOM + "update_room/", **private)).ok()  # a deputy has to be inside
    socket = await room.bert.watch()
    for row in ALLOWED.values():
        (await ask(room.dora, *row)).ok()
    by = {"user_id": room.dora.id, "nickname": "dora"}
    assert (await socket.next("micro_refuse"))["data"]["by"] == by
    assert (await socket.next("mute"))["data"]["by"] == by
    refused_entry = await eva.get("get_playurl/", live_id=room.live_id)
    assert refused_entry.refusal == (403, "put_out")


# ---- how it ends


async def test_the_host_takes_it_back_and_a_deputy_resigns_from_one_room_or_all(
    room: Moderated, api: ApiFixture
) -> None:
    await room.open()
    host, dora, kim = room.host, room.dora, room.kim
    (await host.post(DEPUTY, user_id=kim.id, on=0)).ok()
    assert await room.listed() == ["dora"]
    other = await api.host("another host")
    (await dora.get("get_playurl/", live_id=other.live_id)).ok()
    await name(other, dora)
    assert (await room.carl.post(DEPUTY, user_id=dora.id, on=0)).refusal == NOT_HOST
    (await dora.post(DEPUTY, user_id=dora.id, on=0, live_id=other.live_id)).ok()
    assert (await other.get(DEPUTIES)).ok() == []
    await name(other, dora)
    for _ in range(2):
        (await dora.post(DEPUTY, user_id=dora.id, on=0)).ok()
    assert (await other.get(DEPUTIES)).ok() == await room.listed() == []


async def test_a_block_ends_it_and_prevents_it(room: Moderated) -> None:
    await room.open()
    socket = await room.host.watch()
    (await room.kim.post("qlive_user/block/", user_id=room.host.id, blocked=True)).ok()
    assert await change(socket, on=False) == "kim"
    assert (await room.host.post(DEPUTY, user_id=room.kim.id, on=1)).refusal == (403, "blocked")
    (await room.dora.post("qlive_user/block/", user_id=room.kim.id, blocked=True)).ok()
    assert await room.listed() == ["dora"], "a block of somebody else ends nothing"


async def test_an_operators_ban_ends_it_in_every_room_and_a_removal_in_that_room(
    room: Moderated, api: ApiFixture
) -> None:
    await room.open()
    other = await api.host("another host")
    for deputy in (room.dora, room.kim):
        (await deputy.get("get_playurl/", live_id=other.live_id)).ok()
        await name(other, deputy)
    socket = await room.host.watch()
    ban = {"banned": True, "ban_reason": "rude", "reason": "rude"}
    (await api.ops("PATCH", f"users/{room.dora.id}", **ban)).ok()
    assert await change(socket, on=False) == "dora"
    removal = {"live_id": room.live_id, "user_id": room.kim.id}
    (await room.host.post(ROOM + "put_out/", **removal)).ok()
    assert await change(socket, on=False) == "kim"
    assert await room.listed() == []
    assert [row["nickname"] for row in (await other.get(DEPUTIES)).ok()] == ["kim"]


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_deletion_ends_it_whether_the_room_is_live_or_not(
    room: Moderated, server: ServerProcess, db: Any, is_live: bool
) -> None:
    await room.open()
    dora, mute = room.dora, {"user_id": room.carl.id, "minutes": 5}
    (await dora.post(ROOM + "mute/", live_id=room.live_id, **mute)).ok()
    if not is_live:
        (await room.host.post(ROOM + "live_end/", live_id=room.live_id)).ok()
    (await dora.post("qlive_user/delete/")).ok()
    for _ in range(2):
        db.users.update_one({"_id": dora.id}, {"$set": {"delete_at": PAST}})
        await server.context.services.accounts.data_requests.job.sweep()
        await until(lambda: db.users.find_one({"_id": dora.id}).get("delete_at") != PAST)
    assert await room.listed() == ["kim"]
    row = db.rooms.find_one({"_id": room.live_id})
    assert "dora" not in str(row["log"]), "not even as the one who muted"


async def test_a_deleted_host_has_no_deputies(
    room: Moderated, server: ServerProcess, db: Any
) -> None:
    await room.open()
    user = await server.context.stores.users.get(room.host.id)
    for step in server.context.stores.deletions.steps(user):
        await step()
    assert db.rooms.find_one({"_id": room.live_id})["deputies"] == []


async def test_a_user_who_has_left_the_live_is_muted_but_no_stranger(api: ApiFixture) -> None:
    moderated = await Moderated(api).open()
    room, carl, stranger = {"live_id": moderated.live_id}, moderated.carl, await api.user("tom", 1)
    (await carl.get("qlive_room/leave_room/", **room)).ok()
    mute = {**room, "minutes": 5}
    for moderator in (moderated.host, moderated.dora):
        (await moderator.post("qlive_room/mute/", user_id=carl.id, **mute)).ok()
        refused = await moderator.post("qlive_room/mute/", user_id=stranger.id, **mute)
        assert refused.refusal == (409, "not_in_room")
