"""Random actions of users in a room, from a seed."""

import random
from typing import Any

from tests.support.api import ApiClient, ApiFixture, Reply, Socket
from tests.support.room_screen import Frame

ACTION_WEIGHTS = {
    "apply_micro": 5,
    "accept_micro": 5,
    "invite_micro": 4,
    "refuse_micro": 2,
    "leave_micro": 2,
    "remove_from_mic": 2,
    "enter_room": 3,
    "leave_room": 1,
    "push_gift": 3,
    "rename": 3,
}
CONNECTION_WEIGHTS = {"connect": 8, "disconnect": 6, "put_out": 0.3}
GUEST_GENDERS = {"bert": 1, "carl": 1, "emil": 1, "anna": 2, "dora": 2, "ella": 2, "noname": 0}


class RandomActions:
    """The host and guests of a room; each `act` is chosen at random, reproducibly by the seed."""

    def __init__(
        self, host: ApiClient, guests: list[ApiClient], gift_ids: list[int], seed: int
    ) -> None:
        self.host, self.guests, self.gift_ids = host, guests, gift_ids
        self.random = random.Random(seed)
        self.live_id = host.live_id
        self.actions: list[str] = []
        self.weights: dict[str, float] = dict(ACTION_WEIGHTS)
        self.sockets: dict[str, Socket] = {}

    async def act(self) -> Reply:
        client, other = self.random.sample([self.host, *self.guests], 2)
        [action] = self.random.choices([*self.weights], [*self.weights.values()])
        self.actions.append(action)
        if action in ("connect", "disconnect"):
            await self.connect(client) if action == "connect" else self.disconnect(client)
            return await client.get("qlive_user/get_user_state/")
        return await self._call(action, client, other)

    async def _call(self, action: str, client: ApiClient, other: ApiClient) -> Reply:
        room: Any = {"live_id": self.live_id}
        match action:
            case "apply_micro" | "accept_micro" | "refuse_micro":
                return await client.post(f"qlive_room/{action}/", **room)
            case "invite_micro":
                inviting = self.host if self.random.random() < 0.8 else client
                return await inviting.post("qlive_room/invite_micro/", user_id=other.id, **room)
            case "leave_micro" | "leave_room":
                return await client.get(f"qlive_room/{action}/", **room)
            case "remove_from_mic":
                return await self.host.get("qlive_room/leave_micro/", user_id=client.id, **room)
            case "enter_room":
                return await client.get("get_playurl/", **room)
            case "put_out":
                return await self.host.post("qlive_room/put_out/", user_id=client.id, **room)
            case "push_gift":
                gift: Any = {"gift_id": self.random.choice(self.gift_ids[:4]), "num": 1}
                return await client.get("qlive_gift/push_gift/", user_id=other.id, **gift)
        name = f"{client.name}{self.random.randrange(100)}"
        profile = {"nickname": name, "face_url": f"https://face.example/{name}", "age": 30}
        return await client.post("qlive_user/update_userinfo/", **profile)

    async def act_each_once(self) -> None:
        """Produces every mic event, a gift and a profile event, whatever was random before."""
        room: Any = {"live_id": self.live_id}
        guest = await self.host.api.guest("each", 1, self.live_id, gold=30)
        await self.connect(guest)
        for other in self.guests:  # frees the male seat; most guests are not on it
            await self.host.get("qlive_room/leave_micro/", user_id=other.id, **room)
        for step in ("apply_micro", "refuse_micro", "invite", "accept_micro"):
            if step == "invite":
                reply = await self.host.post("qlive_room/invite_micro/", user_id=guest.id, **room)
            else:
                reply = await guest.post(f"qlive_room/{step}/", **room)
            reply.ok()
        gift: Any = {"gift_id": self.gift_ids[0], "num": 1, "user_id": self.host.id}
        (await guest.get("qlive_gift/push_gift/", **gift)).ok()
        (await guest.post("qlive_user/update_userinfo/", nickname="once")).ok()
        (await guest.get("qlive_room/leave_micro/", **room)).ok()

    async def connect(self, client: ApiClient) -> None:
        """Opens a new socket and aborts the older one."""
        newer = await client.connect(self.live_id)
        self.disconnect(client)
        self.sockets[client.id] = newer

    def disconnect(self, client: ApiClient) -> None:
        """Aborts the client's connection without a close frame."""
        if socket := self.sockets.pop(client.id, None):
            socket.connection.transport.abort()

    def disconnect_all(self) -> None:
        for socket in self.sockets.values():
            socket.connection.transport.abort()
        self.sockets.clear()


async def start_random_actions(api: ApiFixture, seed: int) -> tuple[RandomActions, ApiClient]:
    """A new room with guests, and one more guest who only watches."""
    host = await api.host()
    guests = [
        await api.guest(name, gender, host.live_id, gold=30)
        for name, gender in GUEST_GENDERS.items()
    ]
    gift_ids = [row["id"] for row in (await host.get("qlive_gift/")).ok()["results"]]
    watcher = await api.guest("watcher", 0, host.live_id)
    return RandomActions(host, guests, gift_ids, seed), watcher


async def load_snapshot(client: ApiClient) -> Frame:
    """The snapshot that a new socket receives."""
    frame = await (await client.connect()).frame()
    assert frame["type"] == "snapshot"
    return frame


async def load_snapshots_until(client: ApiClient, status: str) -> list[Frame]:
    """Snapshots, until the last one shows the status."""
    snapshots = [await load_snapshot(client)]
    while snapshots[-1]["data"]["status"] != status:
        snapshots.append(await load_snapshot(client))
    return snapshots
