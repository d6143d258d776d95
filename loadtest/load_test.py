"""Runs a load test: hosts open rooms, viewers and senders enter, all listen, some send."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from core.errors import StartupError
from loadtest.accounts import Account, accounts_of, gathered, patiently
from loadtest.http_client import BASE, HttpClient
from loadtest.measurements import Measurements
from loadtest.options import LoadOptions
from loadtest.participant import Participant, RoomAudience
from loadtest.progress import progress_line
from loadtest.sender import send_applications, send_gifts
from loadtest.target import Target, target_of

LAG_SECONDS = 0.05
OPEN_SECONDS, SOCKETS_PER_SECOND, OPEN_POLL_SECONDS = 20.0, 100, 0.02
"""Time for the sockets of all users to open, since a handshake may be refused for a second."""
CLOSE_SECONDS = 5.0
"""For the hosts to end their lives, also when the deployment does not answer."""
Show = Callable[[str], None]


class LoadTest:
    """One load test; `measurements` fill while `run` is in progress."""

    def __init__(self, options: LoadOptions) -> None:
        """Raises StartupError for a wrong URL."""
        self.options = options
        self.measurements = Measurements()
        self.members: list[Participant] = []
        self._target: Target = target_of(options.url)
        self._clients: list[HttpClient] = []
        self._hosts: list[Participant] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event, show: Show) -> None:
        """Until the time is over or `stopping` is set. Raises StartupError if it cannot begin.

        `show` is called with a line each second.
        """
        running = asyncio.ensure_future(self._run(show))
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            self.measurements.ended = time.monotonic()
            for task in (running, stopped, *self._tasks):
                task.cancel()
            await asyncio.wait([running, stopped, *self._tasks])
            await self._end_lives()
            await asyncio.gather(*(client.close() for client in self._clients))

    async def _run(self, show: Show) -> None:
        show("signing in …")
        accounts = await accounts_of(self.options, self._open_client)
        show(f"{len(accounts)} users; opening rooms …")
        await self._enter(accounts)
        self.measurements.begin()
        self._start_load()
        deadline = self.measurements.started + self.options.seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(1.0, left))
            self._raise_failure()
            show(progress_line(self.measurements, self.options, self.members))

    async def _enter(self, accounts: list[Account]) -> None:
        mix = self.options.mix
        hosts, others = accounts[: mix.hosts], accounts[mix.hosts :]
        await gathered([self._open_room(account) for account in hosts])
        self.members = list(self._hosts)
        rooms = [host.room for host in self._hosts]
        entering = (self._enter_room(it, rooms[n % len(rooms)]) for n, it in enumerate(others))
        self.members += await gathered(list(entering))
        for member in self.members:
            self._start(member.listen())
            self._start(member.check_silence())
        await self._wait_opened()

    async def _wait_opened(self) -> None:
        """Raises StartupError if sockets are refused, or take too long."""
        deadline = time.monotonic() + OPEN_SECONDS + len(self.members) / SOCKETS_PER_SECOND
        while closed := [it for it in self.members if not it.opened.is_set()]:
            self._raise_failure()
            if time.monotonic() > deadline or any(it.final_code for it in closed):
                codes = sorted(self.measurements.closes)
                raise StartupError(
                    f"{len(closed)} of {len(self.members)} sockets could not be opened; "
                    f"the server closed with {', '.join(map(str, codes)) or 'no code'}."
                )
            await asyncio.sleep(OPEN_POLL_SECONDS)

    def _raise_failure(self) -> None:
        """Raise what has ended a task: a bug of this program."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (failure := task.exception()):
                raise failure

    async def _open_room(self, account: Account) -> None:
        """Kept at once, so that the room is closed if another host fails to open theirs."""
        path = f"{BASE}qlive_room/matchmaker_enter/"
        opened = await patiently(account.http, "POST", path)
        self._hosts.append(self._member(account, RoomAudience(opened["live_id"])))

    async def _enter_room(self, account: Account, room: RoomAudience) -> Participant:
        path = f"{BASE}get_playurl/?live_id={room.live_id}"
        await patiently(account.http, "GET", path)
        return self._member(account, room)

    def _open_client(self, token: str) -> HttpClient:
        self._clients.append(HttpClient(self._target, self.measurements, token))
        return self._clients[-1]

    def _member(self, account: Account, room: RoomAudience) -> Participant:
        return Participant(account, room, self._target, self.measurements)

    def _start_load(self) -> None:
        options = self.options
        viewers_end = options.mix.hosts + options.mix.viewers
        for member in self.members if options.poll_seconds else ():
            self._start(_poll(member, options.poll_seconds))
        for member in self.members[options.mix.hosts : viewers_end]:
            if options.reconnect_seconds:
                self._start(member.lose_connections(options.reconnect_seconds))
        hosts = {host.room.live_id: host.account.user_id for host in self._hosts}
        for number, member in enumerate(self.members[viewers_end : options.users]):
            if options.sends == "apply":
                self._start(send_applications(member, self.measurements, options.rate))
            else:
                host_id = hosts[member.room.live_id]
                self._start(send_gifts(member, self.measurements, options.rate, host_id, number))
        self._start(_measure_lag(self.measurements))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    async def _end_lives(self) -> None:
        """End what the test has opened, which removes all its users from the rooms."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                ending = (
                    host.account.http.post("qlive_room/live_end/", live_id=host.room.live_id)
                    for host in self._hosts
                )
                await asyncio.gather(*ending)


async def _poll(member: Participant, mean_seconds: float) -> None:
    """Read as a phone in the background does."""
    while True:
        await asyncio.sleep(random.uniform(0, 2 * mean_seconds))
        await member.account.http.get("qlive_user/get_user_state/")


async def _measure_lag(measurements: Measurements) -> None:
    while True:
        before = time.monotonic()
        await asyncio.sleep(LAG_SECONDS)
        measurements.record_lag(time.monotonic() - before - LAG_SECONDS)
