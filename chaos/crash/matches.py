"""Matches of one man, each made by his like or by the date with a woman."""

from functools import partial

from chaos.api import open_room
from chaos.crash.environment import CrashEnvironment
from chaos.crash.paths import CrashPath, PreparedTargets, RequestPath
from chaos.crash.withdrawals import PREPARED
from tests.support.client import Api, Reply, UserClient

MATCH_PATHS = ("match_like", "match_date")


class Matches:
    """Matches of a run; the women take the seat beside the man one after the other."""

    def __init__(self, env: CrashEnvironment, man: UserClient) -> None:
        """`man` is on mic in a live room."""
        self._env, self._man = env, man
        self._seated: UserClient | None = None
        self._targets: dict[str, UserClient] = {}
        """Women of whom each must be matched, by id."""
        self.paths: list[CrashPath] = [
            RequestPath(
                "match_like",
                env,
                PreparedTargets(env, self._woman_after_a_date, PREPARED).take,
                self._like,
                record=self._record,
            ),
            RequestPath(
                "match_date",
                env,
                PreparedTargets(env, self._woman_who_is_liked, PREPARED).take,
                self._take_seat,
                record=self._record,
            ),
        ]

    async def finish(self) -> None:
        """Have the messages to IM delivered, also those that a dead server has leased."""
        message = {"kind": "friendship"}
        await self._env.set_due("outbox", message)
        waiting = partial(self._env.rows, "outbox", message)
        await self._env.wait_until_none(waiting, "friendships_undelivered")

    async def check(self) -> dict[str, int]:
        """Add matches that are missing or doubled to the violations; returns the metrics."""
        env, man, women = self._env, self._man, {*self._targets}
        [his] = await env.rows("user_channels", {"_id": man.id})
        if his["version"] != len(women):  # his only events are matches
            env.violations.add("match_events", f"{his['version']} for {len(women)} matches")
        for channel in await env.rows("user_channels", {"_id": {"$in": [*women]}}):
            told = [row["data"]["user"]["user_id"] for row in channel["log"]]
            if told != [man.id]:
                env.violations.add("match_events", f"{channel['_id']}: {told}")
        for user_id, friends in {man.id: women, **{id_: {man.id} for id_ in women}}.items():
            if (found := env.simulator.im.friends[user_id]) != friends:
                env.violations.add("friends", f"{user_id}: {found}")
        matched = await env.rows("matches", {"matched_at": {"$gt": 0}, "ended": False})
        return {"couples": len(women), "matches": len(matched)}

    async def _woman_after_a_date(self) -> UserClient:
        """Return a woman who likes the man and was on mic with him."""
        woman = await self._create_woman()
        await self._take_seat(self._env, woman)
        return woman

    async def _woman_who_is_liked(self) -> UserClient:
        woman = await self._create_woman()
        await self._like(self._env, woman)
        return woman

    async def _create_woman(self) -> UserClient:
        """Create a woman who likes the man."""
        woman = await self._env.create_user(f"woman-{len(await self._env.rows('users'))}", 2)
        await woman.post("qlive_like/", user_id=self._man.id, like_state=1)
        return woman

    async def _like(self, api: Api, woman: UserClient) -> Reply:
        return await self._man.through(api).post("qlive_like/", user_id=woman.id, like_state=1)

    async def _take_seat(self, api: Api, woman: UserClient) -> Reply:
        """Let the woman take the seat, which the one before her leaves, with one call of `api`."""
        room = {"live_id": self._man.live_id}
        if self._seated is not woman:
            if self._seated:
                await self._seated.get("qlive_room/leave_room/", **room)
            self._seated = woman
            await woman.get("get_playurl/", **room)
            await woman.post("qlive_room/apply_micro/", **room)
        return await woman.through(api).post("qlive_room/accept_micro/", **room)

    def _record(self, woman: UserClient, _reply: Reply) -> None:
        self._targets[woman.id] = woman


async def create_matches(env: CrashEnvironment) -> Matches:
    """Create a host whose room is live, and a man who is on mic in it."""
    async with env.stable_server():
        host = await env.create_user("matchmaker", 2)
        await open_room(env, host)
        man = await env.create_user("man", 1)
        man.live_id = host.live_id
        await man.get("get_playurl/", live_id=man.live_id)
        await man.post("qlive_room/apply_micro/", live_id=man.live_id)
        await man.post("qlive_room/accept_micro/", live_id=man.live_id)
    return Matches(env, man)
