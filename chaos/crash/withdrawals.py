"""Users with income, their withdrawals, and what the bank has of these."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from chaos.crash.environment import AUTO_FEN, CrashEnvironment, Send
from chaos.crash.marked_sweeps import DUE, NEVER
from chaos.run import GOLD
from devtools.simulator.notifications import SimulatedNotification
from devtools.simulator.transfers import OPEN
from ledger.withdrawal_requests import REQUESTS_PER_DAY
from tests.support.client import BASE, Reply, UserClient

ROCKET_ID = 8
"""A gift of 9,999 gold, 4,999 income."""
FEN_PER_INCOME = 10
AUTO_INCOME = AUTO_FEN // FEN_PER_INCOME
MANUAL_INCOME = AUTO_INCOME + 10
"""Withdrawals of so much income wait for an operator."""
STOCK = REQUESTS_PER_DAY
"""Withdrawals of a payee, and those that a path prepares at once."""
SETTLE_SECONDS = 120.0
CONSTANT = ("withdrawal_id", "income", "fen", "requested_at", "mch_id", "app_id")
"""Fields of each answer to a request, in any state of the withdrawal."""
UNSETTLED = ("approved", "submitted")
"""States in which a sweep has to go on; nothing else is waited for but the user."""
ALL: Mapping[str, Any] = MappingProxyType({})


class Payees:
    """Users with income, one for STOCK withdrawals: a user requests no more on a day."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self._giver: UserClient | None = None
        self._created = self._left = 0
        self._payee: UserClient

    async def next(self) -> UserClient:
        """Needs a server that does not crash."""
        if not self._left:
            self._created += 1
            self._payee = await self._env.create_user(f"payee-{self._created}", 2)
            await self.give(self._payee, ROCKET_ID)
            self._left = STOCK
        self._left -= 1
        return self._payee

    async def give(self, payee: UserClient, gift_id: int) -> None:
        """A gift of a user with much gold."""
        if self._giver is None:
            self._giver = await self._env.create_user("giver of payees", 1)
            grant = {"gold": 10 * GOLD, "reason": "chaos", "request_id": self._giver.id}
            await self._env.ops_request("POST", f"users/{self._giver.id}/grant", **grant)
        gift = {"gift_id": gift_id, "request_id": f"to-{payee.id}"}
        await self._giver.get("qlive_gift/push_gift/", user_id=payee.id, **gift)


class Withdrawals:
    """All withdrawals of a run, with the answers to their requests."""

    def __init__(self, env: CrashEnvironment) -> None:
        self.env, self.payees = env, Payees(env)
        self.answers: dict[str, dict[str, Any]] = {}
        """Latest answer, by request_id."""
        self.cancelled: list[str] = []
        """Ids of those whose cancellation by the user, or by an operator, is acknowledged."""
        self._rows = env.database.collection("withdrawals")
        self._number = 0

    def new_request_id(self, name: str) -> str:
        self._number += 1
        return f"{name}-{self._number:06}"

    def record(self, request_id: str, response: Reply) -> None:
        """Keep an answer; it may differ from earlier ones only in how far the withdrawal is."""
        if not response.succeeded or response.json["status"] != "success":
            self.env.violations.add("unexpected_response", f"{request_id}: {response}")
            return
        first = self.answers.setdefault(request_id, response.json)
        if any(first[name] != response.json[name] for name in CONSTANT):
            self.env.violations.add(
                "conflicting_responses", f"{request_id}: {first}, then {response.json}"
            )
        self.answers[request_id] = response.json

    async def hold(self, user: UserClient, income: int) -> str:
        """Request a withdrawal; returns its id."""
        request_id = self.new_request_id("made")
        params: dict[str, Any] = {"income": income, "request_id": request_id}
        response = await user.post("qlive_pay/withdraw/", **params)
        self.record(request_id, response)
        id_: str = response.json["withdrawal_id"]
        return id_

    # ---- the path of a request, whose targets are (payee, request_id)

    async def new_request(self) -> tuple[UserClient, str]:
        return await self.payees.next(), self.new_request_id("withdrawal")

    async def send_request(self, request: Send, target: tuple[UserClient, str]) -> Reply:
        """Needs no approval, so that it is submitted to WeChat Pay at once."""
        payee, request_id = target
        body = {"income": AUTO_INCOME, "request_id": request_id}
        path = f"{BASE}qlive_pay/withdraw/"
        return await request("POST", path, json=body, headers=payee.headers)

    def record_request(self, target: tuple[UserClient, str], response: Reply) -> None:
        self.record(target[1], response)

    async def make_request_due(self, target: tuple[UserClient, str]) -> None:
        """A repeated request waits for a sweep, which submits what the dead server has not."""
        await self.make_due([target[1]])

    # ---- the path of a cancellation, whose targets are those of `awaiting_payee`

    async def send_cancel(self, request: Send, target: tuple[str, UserClient]) -> Reply:
        id_, payee = target
        path, body = f"{BASE}qlive_pay/withdraw/cancel/", {"withdrawal_id": id_}
        return await request("POST", path, json=body, headers=payee.headers)

    def record_cancel(self, target: tuple[str, UserClient], _response: Reply) -> None:
        self.cancelled.append(target[0])

    # ---- withdrawals in a certain state, which no sweep touches yet

    async def requested(self) -> str:
        """The id of one that waits for an operator, who is logged in."""
        await self.env.log_in_operator()
        return await self._request(MANUAL_INCOME)

    async def approved(self) -> str:
        """The id of one that an operator has approved."""
        id_ = await self.requested()
        await self.env.ops_request("POST", f"withdrawals/{id_}/approve", reason="chaos")
        return await self._set_aside(id_)

    async def awaiting_payee(self) -> tuple[str, UserClient]:
        """The id of one that waits for its user, and that user."""
        payee = await self.payees.next()
        return await self._set_aside(await self.hold(payee, AUTO_INCOME)), payee

    async def confirmed(self) -> str:
        """The id of one that is paid, of which the server does not know."""
        return await self._ended("success")

    async def failed(self) -> str:
        """The id of one that WeChat Pay could not pay, of which the server does not know."""
        return await self._ended("failed")

    async def _ended(self, outcome: str) -> str:
        id_, _ = await self.awaiting_payee()
        done = await self.env.simulate(
            "/transfer/confirm", bill=id_, outcome=outcome, report="never"
        )
        assert done["outcome"] == outcome, done
        return id_

    async def not_taken(self) -> str:
        """The id of one that WeChat Pay has refused as too fast."""
        self.env.simulator.transfers.faults["FREQUENCY_LIMITED"] = 1
        return await self._set_aside(await self._request(AUTO_INCOME))

    def notices(self, take: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[Any]]:
        """Function that finishes the next withdrawal and returns its notice, not sent yet."""
        transfers = self.env.simulator.transfers

        async def take_notice() -> SimulatedNotification:
            return transfers.notice(transfers.bills[await take()], "once")

        return take_notice

    # ---- the end

    async def make_due(self, names: list[str], at: datetime = DUE) -> list[str]:
        """Set `due_at` of those with these ids or request_ids that are not final.

        Waits long, since a dead server's transaction may hold one until MongoDB aborts that.
        Returns those that need more than one sweep: none.
        """
        is_named: list[Any] = [{"_id": {"$in": names}}, {"request_id": {"$in": names}}]
        with self.env.database.slow_operation_timeout():
            await self._rows.update_many(
                {"$or": is_named, "due_at": {"$ne": None}}, {"$set": {"due_at": at}}
            )
        return []

    async def settle(self) -> None:
        """Have every withdrawal paid or returned, on a server that does not crash.

        Notices of those that are final for long change nothing any more.
        """
        for row in await self._rows.find({"state": "requested"}).to_list():
            approval = f"withdrawals/{row['_id']}/approve"
            await self.env.ops_request("POST", approval, reason="chaos")
        await self._wait_until_none(lambda: self._count(UNSETTLED))
        # Before their users confirm them after all: what was cancelled is cancelled at WeChat.
        cancelled = {"_id": {"$in": self.cancelled}}
        await self._wait_until_none(lambda: self._count(("awaiting_user",), cancelled))
        simulator = self.env.simulator
        for number, bill in enumerate([*simulator.transfers.bills.values()]):
            if bill.state in OPEN:
                path = ("/transfer/confirm", "/transfer/expire")[number % 2]
                await self.env.simulate(path, bill=bill.number, report="twice")
            await self.env.simulate("/transfer/notify", bill=bill.number, report="once")
            if number % STOCK == 0:
                await simulator.delivery.quiet()
        await simulator.delivery.quiet()
        await self._wait_until_none(lambda: self._count((*UNSETTLED, "awaiting_user")))

    async def _count(self, states: tuple[str, ...], where: Mapping[str, Any] = ALL) -> int:
        """Withdrawals in these states, which become due."""
        open_ = {**where, "state": {"$in": [*states]}}
        with self.env.database.slow_operation_timeout():
            await self._rows.update_many(open_, {"$set": {"due_at": DUE}})
        return await self._rows.count_documents(open_)

    async def _wait_until_none(self, count: Callable[[], Awaitable[int]]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := await count()) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        if left:
            self.env.violations.add("withdrawals_unsettled", f"{left} withdrawals")

    async def _request(self, income: int) -> str:
        return await self.hold(await self.payees.next(), income)

    async def _set_aside(self, id_: str) -> str:
        await self.make_due([id_], NEVER)
        return id_
