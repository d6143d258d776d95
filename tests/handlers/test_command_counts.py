"""How many commands each call, made alone, sends to MongoDB, its token's query included."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import pytest
from pymongo.monitoring import CommandStartedEvent

from runtime.jobs import PeriodicTasks
from storage.database import CommandLatency
from tests.support.api import ApiClient, ApiFixture
from tests.support.client import Reply
from tests.support.gifts import give
from tests.support.mic import take_seat

Call = Callable[[], Awaitable[Any]]


@pytest.fixture(autouse=True)
def without_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server have no jobs beside its requests, which would send commands, too."""
    for start in ("every", "until_stopped"):
        monkeypatch.setattr(PeriodicTasks, start, lambda *_, **_options: None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that servers have sent, each with its collection."""
    sent: list[str] = []

    def started(_self: CommandLatency, event: CommandStartedEvent) -> None:
        collection = event.command[event.command_name]
        sent.append(f"{event.command_name} {collection if isinstance(collection, str) else ''}")

    monkeypatch.setattr(CommandLatency, "started", started)
    return sent


@dataclass
class Live:
    """A live of a host with a woman and a man in it, and a man who is not.

    Each method prepares a call, and what it needs in the process's caches, and returns it.
    """

    host: ApiClient
    anna: ApiClient
    bert: ApiClient
    carl: ApiClient

    @classmethod
    async def open(cls, api: ApiFixture) -> Self:
        host = await api.host()
        anna = await api.guest("anna", 2, host.live_id, gold=100)
        bert = await api.guest("bert", 1, host.live_id)
        (await bert.get("qlive_user/get_userinfo/")).ok()  # reads the catalogue
        return cls(host, anna, bert, await api.user("carl", 1))

    async def apply(self) -> Call:
        return lambda: self.anna.post("qlive_room/apply_micro/", live_id=self.host.live_id)

    async def accept(self) -> Call:
        (await (await self.apply())()).ok()
        return lambda: self.anna.post("qlive_room/accept_micro/", live_id=self.host.live_id)

    async def accept_that_begins_a_date(self) -> Call:
        await take_seat(self.bert)
        return await self.accept()

    async def leave_the_mic(self) -> Call:
        await take_seat(self.anna)
        return lambda: self.anna.get("qlive_room/leave_micro/", live_id=self.host.live_id)

    async def leave_that_ends_a_date(self) -> Call:
        await take_seat(self.bert)
        return await self.leave_the_mic()

    async def enter(self) -> Call:
        return lambda: self.carl.get("get_playurl/", live_id=self.host.live_id)

    async def gift_to_the_host(self) -> Call:
        return await self._gift(self.host)

    async def gift_to_a_guest(self) -> Call:
        return await self._gift(self.bert)

    async def _gift(self, receiver: ApiClient) -> Call:
        (await give(self.anna, receiver.id)).ok()
        return lambda: give(self.anna, receiver.id)

    async def join(self) -> Call:
        return self.anna.watch

    async def read_own_profile(self) -> Call:
        return lambda: self.anna.get("qlive_user/get_userinfo/")

    async def read_another_profile(self) -> Call:
        await self._store_token()
        return lambda: self.anna.get("qlive_user/get_userinfo/", user_id=self.bert.id)

    async def list_members(self) -> Call:
        await self._store_token()
        return lambda: self.anna.get(
            "qlive_user/get_users_info/", live_id=self.host.live_id, gender=1
        )

    async def list_lives(self) -> Call:
        await self._store_token()
        (await self.bert.get("get_livelist/")).ok()
        return lambda: self.anna.get("get_livelist/")

    async def _store_token(self) -> None:
        """Have the token in the cache of calls that only read."""
        (await self.anna.get("qlive_user/get_user_state/")).ok()


COUNTS = {
    Live.apply: 5,
    Live.accept: 5,
    Live.accept_that_begins_a_date: 7,
    Live.leave_the_mic: 6,
    Live.leave_that_ends_a_date: 6,
    Live.enter: 7,
    Live.gift_to_the_host: 9,
    Live.gift_to_a_guest: 9,
    Live.join: 5,
    Live.read_own_profile: 3,
    Live.read_another_profile: 1,
    Live.list_members: 4,
    Live.list_lives: 3,
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("prepare", "count"), COUNTS.items(), ids=[prepare.__name__ for prepare in COUNTS]
)
async def test_a_call_sends_few_commands(
    prepare: Callable[[Live], Awaitable[Call]], count: int, api: ApiFixture, sent: list[str]
) -> None:
    call = await prepare(await Live.open(api))
    sent.clear()
    answer = await call()
    commands = sent.copy()
    assert not isinstance(answer, Reply) or answer.succeeded, answer
    assert len(commands) == count, "\n".join([f"{len(commands)} commands:", *commands])
