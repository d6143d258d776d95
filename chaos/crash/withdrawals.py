"""Users with income, their withdrawals, and what the bank has of these."""

from collections.abc import Mapping
from typing import Any

from tornado.httpclient import HTTPRequest

from chaos.crash.environment import AUTO_FEN, CrashEnvironment
from chaos.crash.marked_sweeps import NEVER
from chaos.run import GOLD
from devtools.simulator.transfers import OPEN
from ledger.withdrawal_requests import REQUESTS_PER_DAY
from tests.support.client import Api, Reply, UserClient

ROCKET_ID = 8
"""A gift of 9,999 gold, 4,999 income."""
FEN_PER_INCOME = 10
AUTO_INCOME = AUTO_FEN // FEN_PER_INCOME
MANUAL_INCOME = AUTO_INCOME + 10
"""Withdrawals of so much income wait for an operator."""
PREPARED = REQUESTS_PER_DAY
"""Withdrawals of a payee, and those that a path prepares at once."""
CONSTANT = ("withdrawal_id", "income", "fen", "requested_at", "mch_id", "app_id")
"""Fields of each answer to a request, in any state of the withdrawal."""
UNSETTLED = ("approved", "submitted")
"""States in which only a sweep continues, not the user."""


class Withdrawals:
    """All withdrawals of a run, with the answers to their requests."""

    def __init__(self, env: CrashEnvironment) -> None:
        self.env = env
        self.answers: dict[str, dict[str, Any]] = {}
        """Latest answer, by request_id."""
        self.cancelled: list[str] = []
        """Ids of those whose cancellation by the user, or by an operator, is acknowledged."""
        self._number = self._payees = self._left = 0
        self._giver: UserClient | None = None
        self._payee: UserClient

    async def next_payee(self) -> UserClient:
        """Create a user with income for PREPARED withdrawals: a user requests no more on a day.

        Needs a server that does not crash.
        """
        if not self._left:
            if self._giver is None:
                self._giver = await self.env.create_giver("giver of payees", 10 * GOLD)
            self._payees, self._left = self._payees + 1, PREPARED
            self._payee = await self.env.create_user(f"payee-{self._payees}", 2)
            gift: Any = {"gift_id": ROCKET_ID, "request_id": f"to-{self._payee.id}"}
            await self._giver.get("qlive_gift/push_gift/", user_id=self._payee.id, **gift)
        self._left -= 1
        return self._payee

    def record(self, request_id: str, response: Reply) -> None:
        """Keep an answer; only the progress of the withdrawal may differ from earlier ones."""
        if not response.succeeded or response.json["status"] != "success":
            self.env.violations.add("unexpected_response", f"{request_id}: {response}")
            return
        first = self.answers.setdefault(request_id, response.json)
        if any(first[name] != response.json[name] for name in CONSTANT):
            detail = f"{request_id}: {first}, then {response.json}"
            self.env.violations.add("conflicting_responses", detail)
        self.answers[request_id] = response.json

    async def request(self, user: UserClient, income: int) -> str:
        """Request a withdrawal; returns its id."""
        request_id = self._new_request_id("made")
        params: dict[str, Any] = {"income": income, "request_id": request_id}
        response = await user.post("qlive_pay/withdraw/", **params)
        self.record(request_id, response)
        id_: str = response.json["withdrawal_id"]
        return id_

    def _new_request_id(self, name: str) -> str:
        self._number += 1
        return f"{name}-{self._number:06}"

    # ---- the path of a request, whose targets are (payee, request_id)

    async def new_request(self) -> tuple[UserClient, str]:
        return await self.next_payee(), self._new_request_id("withdrawal")

    async def send_request(self, api: Api, target: tuple[UserClient, str]) -> Reply:
        """Needs no approval, so that it is submitted to WeChat Pay at once."""
        payee, request_id = target
        params: dict[str, Any] = {"income": AUTO_INCOME, "request_id": request_id}
        return await payee.through(api).post("qlive_pay/withdraw/", **params)

    # ---- the path of a cancellation, whose targets are those of `awaiting_payee`

    async def send_cancel(self, api: Api, target: tuple[str, UserClient]) -> Reply:
        id_, payee = target
        return await payee.through(api).post("qlive_pay/withdraw/cancel/", withdrawal_id=id_)

    # ---- withdrawals in a certain state, which no sweep touches yet

    async def requested(self, income: int = MANUAL_INCOME) -> str:
        """Return the id of one that waits for an operator, who is logged in."""
        await self.env.log_in_operator()
        return await self.request(await self.next_payee(), income)

    async def approved(self) -> str:
        """Return the id of one that an operator has approved."""
        id_ = await self.requested()
        await self.env.ops_request("POST", f"withdrawals/{id_}/approve", reason="chaos")
        return await self._set_aside(id_)

    async def awaiting_payee(self) -> tuple[str, UserClient]:
        """Return the id of one that waits for its user, and that user."""
        payee = await self.next_payee()
        return await self._set_aside(await self.request(payee, AUTO_INCOME)), payee

    async def refused_as_too_fast(self) -> str:
        """Return the id of one that WeChat Pay has refused for now."""
        self.env.simulator.transfers.faults.add("FREQUENCY_LIMITED")
        return await self._set_aside(await self.requested(AUTO_INCOME))

    async def ended(self, outcome: str) -> str:
        """Return the id of one that WeChat Pay has paid or not, unknown to the server."""
        id_, _ = await self.awaiting_payee()
        done = await self.env.simulate(
            "/transfer/confirm", bill=id_, outcome=outcome, report="never"
        )
        assert done["outcome"] == outcome, done
        return id_

    async def _set_aside(self, id_: str) -> str:
        await self.env.set_due("withdrawals", {"_id": id_}, NEVER)
        return id_

    def notification(self, id_: str) -> HTTPRequest:
        """Return the notification of a final withdrawal, not sent yet."""
        transfers = self.env.simulator.transfers
        return transfers.notification(transfers.bills[id_], "once")

    # ---- the end

    async def make_due(self, ids: list[str]) -> list[str]:
        """Make those due that are not final; none needs more than one sweep."""
        await self.env.set_due("withdrawals", {"_id": {"$in": ids}})
        return []

    async def finish(self) -> None:
        """Have every withdrawal paid or returned, on a server that does not crash.

        Notifications of those that have long been final change nothing any more.
        """
        for row in await self.env.rows("withdrawals", {"state": "requested"}):
            approval = f"withdrawals/{row['_id']}/approve"
            await self.env.ops_request("POST", approval, reason="chaos")
        await self._wait_for_sweeps(UNSETTLED)
        # Before their users confirm them after all: what was cancelled is cancelled at WeChat.
        await self._wait_for_sweeps(("awaiting_user",), {"_id": {"$in": self.cancelled}})
        simulator = self.env.simulator
        for number, bill in enumerate([*simulator.transfers.bills.values()]):
            if bill.state in OPEN:
                path = ("/transfer/confirm", "/transfer/expire")[number % 2]
                await self.env.simulate(path, bill=bill.number, report="twice")
            await self.env.simulate("/transfer/notify", bill=bill.number, report="once")
            if number % PREPARED == 0:
                await simulator.delivery.quiet()
        await simulator.delivery.quiet()
        await self._wait_for_sweeps((*UNSETTLED, "awaiting_user"))

    async def _wait_for_sweeps(
        self, states: tuple[str, ...], where: Mapping[str, Any] | None = None
    ) -> None:
        """Keep withdrawals in these states due until there are none."""
        open_ = {**(where or {}), "state": {"$in": [*states]}}

        async def count() -> int:
            await self.env.set_due("withdrawals", open_)
            return await self.env.database.collection("withdrawals").count_documents(open_)

        await self.env.wait_until_none(count, "withdrawals_unsettled")
