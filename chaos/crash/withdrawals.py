"""Users with income, their withdrawals, and what the bank has of these."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from chaos.crash.environment import AUTO_FEN, CrashEnvironment, EnvironmentUser
from chaos.crash.marked_sweeps import DUE, NEVER
from chaos.run import GOLD
from devtools.simulator.transfers import OPEN, SimulatedBill
from ledger.withdrawal_requests import REQUESTS_PER_DAY
from tests.support.client import Reply

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
"""Fields that each answer to a request has, whatever has become of the withdrawal."""
UNSETTLED = ("approved", "submitted")
"""States in which a sweep has to go on; nothing else is waited for but the user."""
ALL: Mapping[str, Any] = MappingProxyType({})


class Payees:
    """Users with income, one for STOCK withdrawals: a user requests no more on a day."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self._giver: EnvironmentUser | None = None
        self._created = self._left = 0
        self._payee: EnvironmentUser

    async def next(self) -> EnvironmentUser:
        """Needs a server that does not crash."""
        if not self._left:
            self._created += 1
            self._payee = await self._env.create_user(f"payee-{self._created}", 2)
            await self.give(self._payee, ROCKET_ID)
            self._left = STOCK
        self._left -= 1
        return self._payee

    async def give(self, payee: EnvironmentUser, gift_id: int) -> None:
        """A gift of somebody with much gold."""
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

    async def hold(self, user: EnvironmentUser, income: int) -> str:
        """Request a withdrawal; returns its id."""
        request_id = self.new_request_id("made")
        params: dict[str, Any] = {"income": income, "request_id": request_id}
        response = await user.post("qlive_pay/withdraw/", **params)
        self.record(request_id, response)
        id_: str = response.json["withdrawal_id"]
        return id_

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

    async def awaiting_payee(self) -> tuple[str, EnvironmentUser]:
        """The id of one that waits for its user, and that user."""
        payee = await self.payees.next()
        return await self._set_aside(await self.hold(payee, AUTO_INCOME)), payee

    async def awaiting_user(self) -> str:
        """The id of one that waits for its user."""
        id_, _ = await self.awaiting_payee()
        return id_

    async def confirmed(self) -> str:
        """The id of one that is paid, of which the server does not know."""
        id_ = await self.awaiting_user()
        await self.finish(id_, "success")
        return id_

    async def not_taken(self) -> str:
        """The id of one that WeChat Pay has refused as too fast."""
        self.env.simulator.transfers.faults["FREQUENCY_LIMITED"] = 1
        return await self._set_aside(await self._request(AUTO_INCOME))

    # ---- the bank

    def bill(self, id_: str) -> SimulatedBill:
        """The transfer of a withdrawal, at the bank."""
        return self.env.simulator.transfers.bills[id_]

    async def finish(self, id_: str, outcome: str, report: str = "never") -> None:
        """The user confirms the withdrawal; `outcome` is success or failed."""
        done = await self.env.simulate(
            "/transfer/confirm", bill=id_, outcome=outcome, report=report
        )
        assert done["outcome"] == outcome, done

    # ---- the end

    async def make_due(self, name: str, at: datetime = DUE) -> None:
        """Set `due_at` of the withdrawal with this id or request_id, unless it is final.

        Waits long, since a dead server's transaction may hold it until MongoDB aborts that.
        """
        with self.env.database.slow_operation_timeout():
            await self._rows.update_one(
                {"$or": [{"_id": name}, {"request_id": name}], "due_at": {"$ne": None}},
                {"$set": {"due_at": at}},
            )

    async def settle(self) -> None:
        """Have every withdrawal paid or returned, on a server that does not crash.

        Notices of those that are final for long change nothing any more.
        """
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
        await self.make_due(id_, NEVER)
        return id_
