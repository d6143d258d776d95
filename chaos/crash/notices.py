"""Followers who agree to a notice, are sent one, or refuse: no agreement is spent twice."""

import itertools
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tornado.httpclient import HTTPRequest

from chaos.api import open_room
from chaos.crash.environment import NOTICE_TEMPLATE, CrashEnvironment
from chaos.crash.marked_sweeps import DUE, NEVER, NOTICES
from chaos.crash.paths import CrashPath, SweepPath, callback_path
from devtools.simulator.requests import NextNoticesRequest
from devtools.simulator.wechat import openid_of
from people.notices import Consent
from services.accounts.notices import JOB_NAME
from storage.accounts.follows import FollowStore
from storage.accounts.notices import ConsentStore, consent_id
from storage.accounts.users import User, identity_of
from storage.database import Document
from storage.documents import document_of
from tests.support.client import UserClient

AGREEMENTS = 9
"""Agreements at WeChat: so many messages of a user would be sent, if the server sent them."""
FIRST_FOLLOWER = 90_000_001


class Notices:
    """One live, whose host gets a new follower for each target."""

    def __init__(self, env: CrashEnvironment, host: UserClient) -> None:
        self._env, self._host = env, host
        self._consents, self._follows = ConsentStore(env.database), FollowStore(env.database)
        self._numbers = itertools.count(FIRST_FOLLOWER)
        self._followers: list[str] = []
        # The event of a message could come while another path is recorded.
        env.simulator.notices.set_next(NextNoticesRequest(report="never"))
        self._choosers: dict[str, bool] = {}
        """Whether each user accepts."""
        self.paths: list[CrashPath] = [
            SweepPath(NOTICES, self._next_follower),
            callback_path("notice_choice", env, self._next_chooser, self._choice),
        ]

    async def finish(self) -> None:
        """Notify all, also those who have chosen, on a server that does not crash."""
        for user_id in self._choosers:
            await self._follows.put(user_id, self._host.id)
        await self._begin(DUE)

        async def remaining() -> list[Document]:
            await self._hold(DUE)
            return await self._env.rows("live_notices")

        await self._env.wait_until_none(remaining, "followers_not_notified")

    async def check(self) -> dict[str, int]:
        """Add repeated messages and wrong numbers of agreements; returns the metrics."""
        sent = Counter(message["touser"] for message in self._env.simulator.notices.sent)
        left = {row["user_id"]: row["count"] for row in await self._env.rows("notice_consents")}
        expected = dict.fromkeys(self._followers, (0, 1))
        expected |= {id_: (1, 1) if accepts else (0, 0) for id_, accepts in self._choosers.items()}
        lost = 0
        for user_id, (agreements, messages) in expected.items():
            found = left[user_id], sent[openid_of(user_id)]
            if found == (agreements, messages - 1) and user_id in self._followers:
                lost += 1  # the server died between taking the agreement and the message
            elif found != (agreements, messages):
                self._env.violations.add("notice", f"{user_id}: {found} of {agreements, messages}")
        return {"notices": sum(sent.values()), "notices_lost": lost}

    async def _next_follower(self) -> str:
        """Add a follower, and have the followers notified once the lease of the job ends."""
        user_id = await self._add_user()
        self._followers.append(user_id)
        await self._follows.put(user_id, self._host.id)
        await self._begin(NEVER)
        return JOB_NAME

    async def _next_chooser(self) -> str:
        """Add a user who accepts, or refuses, while they have an agreement."""
        user_id = await self._add_user()
        self._choosers[user_id] = len(self._choosers) % 2 == 0
        return user_id

    def _choice(self, user_id: str) -> HTTPRequest:
        choice = "accept" if self._choosers[user_id] else "reject"
        row = {"TemplateId": NOTICE_TEMPLATE, "SubscribeStatusString": choice}
        pushes = self._env.simulator.pushes
        event = pushes.event("subscribe_msg_popup_event", openid_of(user_id), {"List": row})
        return pushes.report(event, "once")

    async def _add_user(self) -> str:
        """Store a user with an agreement, whose openid is made of their id."""
        user_id = str(next(self._numbers))
        app_id, openid = self._env.simulator.pushes.app_id, openid_of(user_id)
        user = User(user_id, app_id, openid, datetime.now(UTC))
        await self._env.database.collection("users").insert_one(document_of(user, "user_id"))
        name = f"openid:{identity_of(app_id, openid)}"
        await self._env.database.collection("identities").insert_one({"_id": name, "of": user_id})
        self._env.simulator.notices.consents[openid, NOTICE_TEMPLATE] = AGREEMENTS

        def agree(consent: Consent) -> Consent:
            return consent.note_event("first", 1, accepted=True)

        await self._consents.change(consent_id(user_id, NOTICE_TEMPLATE), agree)
        return user_id

    async def _begin(self, due_at: datetime) -> None:
        """Have all followers notified, as if the live had just begun."""
        [room] = await self._env.rows("rooms", {"_id": self._host.live_id})
        live: dict[str, Any] = {name: room[name] for name in ("epoch", "started_at")}
        live |= {"live_id": room["_id"], "host_id": self._host.id, "after": ""}
        where = {"_id": live.pop("epoch")}
        await self._env.database.collection("live_notices").replace_one(where, live, upsert=True)
        await self._hold(due_at)

    async def _hold(self, due_at: datetime) -> None:
        leases = self._env.database.collection("job_leases")
        await leases.update_one({"_id": JOB_NAME}, {"$set": {"due_at": due_at}}, upsert=True)


async def create_notices(env: CrashEnvironment) -> Notices:
    """Create a host whose room is live."""
    async with env.stable_server("no_sweeps"):
        host = await env.create_user("host of followers", 2)
        await open_room(env, host)
    return Notices(env, host)
