"""Withdrawals that do not get further, by the merchant's account, by WeChat Pay or by operators."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos.alert_faults.environment import PAST, AlertEnvironment, ago, none, some
from chaos.api import FleetUser

AUTO_FEN = 200
SETTINGS = {"QLIVE_WITHDRAW__MATURITY_DAYS": "0", "QLIVE_WITHDRAW__AUTO_FEN": str(AUTO_FEN)}
INCOME, INCOME_TO_APPROVE = 20, 30
"""Of 200 fen, and of 300, for which an operator is needed."""
ROCKET_ID = 8
"""A gift of 4,999 income."""
MANY = 1_000
"""Requests with a fault: more than are made."""


@asynccontextmanager
async def merchant_without_money(env: AlertEnvironment) -> AsyncIterator[None]:
    faults, series = env.simulator.transfers.faults, _problem("NOT_ENOUGH")
    faults["NOT_ENOUGH"] = MANY
    id_ = await _request(env, INCOME)
    await env.wait_for_metric(series, some(1))
    yield
    faults["NOT_ENOUGH"] = 0
    await _finish(env, id_)
    await env.wait_for_metric(series, none(1))


@asynccontextmanager
async def withdrawal_not_queried(env: AlertEnvironment) -> AsyncIterator[None]:
    """WeChat Pay has taken it three hours ago, and no process asks what became of it."""
    series = 'qlive_oldest_withdrawal_seconds{state="submitted"}'
    env.simulator.transfers.faults["accepted"] = 1
    id_ = await _request(env, INCOME)
    long_ago, later = ago(hours=3), datetime.now(UTC) + timedelta(hours=1)
    await env.set_fields(
        "withdrawals",
        {"_id": id_},
        requested_at=long_ago,
        state_since=long_ago,
        sent_at=long_ago,
        last_sent_at=long_ago,
        due_at=later,
    )
    await env.wait_for_metric(series, some(2 * 3600))
    yield
    await _finish(env, id_)
    await env.wait_for_metric(series, none(2 * 3600))


@asynccontextmanager
async def other_amount_stated(env: AlertEnvironment) -> AsyncIterator[None]:
    """WeChat Pay answers a query of a transfer with another amount than ours."""
    id_, series = await _request(env, INCOME), _problem("MISMATCH_AMOUNT")
    await env.wait_for("withdrawals", {"_id": id_, "state": "awaiting_user"})
    bill = env.simulator.transfers.bills[id_]
    request = bill.request
    bill.request = {**request, "transfer_amount": AUTO_FEN + 1}
    await _make_due(env, id_)
    await env.wait_for_metric(series, some(1))
    yield
    bill.request = request
    await _finish(env, id_)
    await env.wait_for_metric(series, none(1))


@asynccontextmanager
async def withdrawal_undecided(env: AlertEnvironment) -> AsyncIterator[None]:
    series = 'qlive_oldest_withdrawal_seconds{state="requested"}'
    id_ = await _request(env, INCOME_TO_APPROVE)
    await env.set_fields("withdrawals", {"_id": id_}, requested_at=ago(days=4))
    await env.wait_for_metric(series, some(3 * 86_400))
    yield
    await env.run.api.ops_request("POST", f"withdrawals/{id_}/approve", reason="chaos")
    await _finish(env, id_)
    await env.wait_for_metric(series, none(3 * 86_400))


async def _request(env: AlertEnvironment, income: int) -> str:
    """A new user with income requests a withdrawal; returns its id."""
    payee = await _create_payee(env)
    params: Any = {"income": income, "request_id": env.new_name("withdraw")}
    requested = await payee.post("qlive_pay/withdraw/", **params)
    id_: str = requested.json["withdrawal_id"]
    return id_


async def _create_payee(env: AlertEnvironment) -> FleetUser:
    giver, payee = await env.create_user("giver"), await env.create_user("payee", 2)
    await env.grant(giver)
    gift: Any = {"user_id": payee.id, "gift_id": ROCKET_ID, "request_id": env.new_name("gift")}
    await giver.get("qlive_gift/push_gift/", **gift)
    return payee


async def _finish(env: AlertEnvironment, id_: str) -> None:
    """Have a withdrawal carried on, and confirmed by its user."""
    await _make_due(env, id_)
    await env.wait_for("withdrawals", {"_id": id_, "state": "awaiting_user"})
    await env.simulate("/transfer/confirm", bill=id_)
    await env.wait_for("withdrawals", {"_id": id_, "state": "paid"})


async def _make_due(env: AlertEnvironment, id_: str) -> None:
    await env.set_fields("withdrawals", {"_id": id_, "due_at": {"$ne": None}}, due_at=PAST)


def _problem(code: str) -> str:
    return f'qlive_transfer_problems{{code="{code}"}}'
