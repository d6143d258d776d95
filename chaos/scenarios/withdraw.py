"""Each request to withdraw is sent many times at once to all processes: one transfer for each."""

import asyncio
import json
import time
from typing import Any

from chaos.crash.money_invariants import bank_violations, outcome_violations
from chaos.http_client import BASE, ApiUser
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import GOLD, Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from devtools.simulator.wire import SimulatorRequest
from ledger.withdrawal_requests import REQUESTS_PER_DAY
from storage.database import Database
from storage.ledger_reconciler import LedgerReconciler

REQUESTS_PER_ID = 50
IDS_AT_ONCE = 8
IDS_PER_SECOND = 10
"""Request ids for each second of the configured length of a run."""
PAYEES = 20
"""At least; a user makes a limited number of requests a day."""
ROCKET_ID = 8
"""A gift of 4,999 income."""
INCOME, FEN = 20, 200
CONFIRMED_AT_ONCE = 20
SIZE = RunSize(
    clients=8,
    rooms=2,
    processes=4,
    proxied=False,
    gifts_and_renames=False,
    rejoins=False,
    settings={"QLIVE_WITHDRAW__MATURITY_DAYS": "0", "QLIVE_WITHDRAW__AUTO_FEN": str(FEN)},
)


async def withdraw(config: RunConfig) -> RunReport:
    """Ten ids for each of `config.seconds`; the users confirm every transfer at the end."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started, ids = time.monotonic(), int(config.seconds * IDS_PER_SECOND)
        answered = await _request_all(run, ids)
        requested_seconds = time.monotonic() - started
        await _confirm_all(run)
        await run.settle()
        await check_invariants(run)
        counts = await _check(run)
        report = make_report(
            run,
            "withdraw",
            time.monotonic() - started,
            ids=ids,
            requests_per_id=REQUESTS_PER_ID,
            requested_seconds=round(requested_seconds, 1),
            answered_equally=answered,
            **counts,
        )
        for name in ("answered_equally", "bills_at_bank", "payouts"):
            report.require(name, ids, at_least=True)
            report.require(name, ids)
        report.require("fen_in_journal", ids * FEN, at_least=True)
        return report


async def _request_all(run: Run, ids: int) -> int:
    """Request `ids` withdrawals; returns how many had equal answers."""
    limit = asyncio.Semaphore(IDS_AT_ONCE)
    payees = await _create_payees(run, max(PAYEES, -(-ids // REQUESTS_PER_DAY)))

    async def request(number: int) -> bool:
        async with limit:
            return await _send_copies(run, payees[number % len(payees)], f"withdraw{number}")

    return sum(await asyncio.gather(*map(request, range(ids))))


async def _create_payees(run: Run, count: int) -> list[ApiUser]:
    """Users with income."""
    giver = await run.create_user("giver", 1)
    grant = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
    await run.api.ops_request("POST", f"users/{giver.id}/grant", **grant)
    payees = [await run.create_user(f"payee{number}", 2) for number in range(count)]
    for payee in payees:
        gift: Any = {"user_id": payee.id, "gift_id": ROCKET_ID, "request_id": f"to{payee.id}"}
        await giver.get("qlive_gift/push_gift/", **gift)
    return payees


async def _send_copies(run: Run, payee: ApiUser, request_id: str) -> bool:
    """Send the same request REQUESTS_PER_ID times at once, spread over the processes."""
    params: dict[str, Any] = {"income": INCOME, "request_id": request_id}
    nodes, path = run.fleet.nodes, f"{BASE}qlive_pay/withdraw/"
    responses = await asyncio.gather(
        *(
            run.api.request("POST", path, params, payee.headers, nodes[n % len(nodes)])
            for n in range(REQUESTS_PER_ID)
        )
    )
    bodies = {json.dumps(response.json, sort_keys=True) for response in responses}
    first = responses[0]
    if len(bodies) == 1 and first.ok and first.json["state"] == "awaiting_user":
        return True
    run.violations.add("conflicting_responses", f"{request_id}: {sorted(bodies)}")
    return False


async def _confirm_all(run: Run) -> None:
    """Each user confirms each transfer, of which the servers are notified."""
    simulator = run.fleet.tencent.simulator
    for number, bill in enumerate([*simulator.transfers.bills], 1):
        body = json.dumps({"bill": bill}).encode()
        await simulator.answer(SimulatorRequest("POST", "/transfer/confirm", {}, {}, body))
        if number % CONFIRMED_AT_ONCE == 0:
            await simulator.delivery.quiet()
    await simulator.delivery.quiet()


async def _check(run: Run) -> dict[str, int]:
    """Add what bank, journal and withdrawals disagree in; returns the metrics."""
    database = Database(run.fleet.mongodb.uri, run.fleet.database)
    try:
        for problem in await LedgerReconciler(database).problems():
            run.violations.add("ledger_problem", str(problem))
        rows = await database.collection("withdrawals").find({}).to_list()
        journal = await database.collection("ledger").find({"kind": {"$ne": "gift"}}).to_list()
    finally:
        await database.close()
    bills = run.fleet.tencent.simulator.transfers.bills
    paid = {number: bill.fen for number, bill in bills.items() if bill.state == "SUCCESS"}
    for kind, detail in [*outcome_violations(rows, journal), *bank_violations(paid, journal)]:
        run.violations.add(kind, detail)
    payouts = [row["content"]["fen"] for row in journal if row["kind"] == "payout"]
    return {
        "withdrawals": len(rows),
        "bills_at_bank": len(bills),
        "payouts": len(payouts),
        "fen_in_journal": sum(payouts),
    }


SCENARIO = Scenario(
    withdraw, "1,000 withdrawals, 50 times each at once, over 4 processes", (SIZE, 10), (SIZE, 100)
)
