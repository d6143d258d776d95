"""Faults of the ledger, of the rates and of a user's document, made by hand in the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from chaos.alert_faults.environment import PAST, AlertEnvironment, every, none, some
from chaos.scrapes import CHECKED_AT

CHECK = {"_id": "check-ledger"}
"""Its lease, in `turns`."""
RATES = 'qlive_dependency_up{dependency="rates"'
PROBLEMS = "qlive_ledger_problems"
UNCHECKED_SECONDS = 31 * 60


@asynccontextmanager
async def rate_disabled(env: AlertEnvironment) -> AsyncIterator[None]:
    """The operators' API refuses to disable the only row of a rate."""
    row = {"key": "EXCHANGE_RATE"}
    await env.set_fields("configs", row, enabled=False)
    await _read_catalogue_again(env)
    await env.wait_for_metric(RATES, none(1))
    yield
    await env.set_fields("configs", row, enabled=True)
    await _read_catalogue_again(env)
    await env.wait_for_metric(RATES, every(1))


@asynccontextmanager
async def balance_changed(env: AlertEnvironment) -> AsyncIterator[None]:
    user = await env.create_user("changed")
    await _add_gold(env, user.id, 5)
    await env.wait_for_metric(PROBLEMS, some(1))
    yield
    await _add_gold(env, user.id, -5)
    await env.wait_for_metric(PROBLEMS, none(1))


@asynccontextmanager
async def ledger_unchecked(env: AlertEnvironment) -> AsyncIterator[None]:
    """The process that holds the lease hangs."""
    now = datetime.now(UTC)
    await env.set_fields(
        "turns",
        CHECK,
        due_at=now + timedelta(hours=1),
        result__at=now.timestamp() - UNCHECKED_SECONDS,
    )
    await env.wait_for_metric(CHECKED_AT, none(-UNCHECKED_SECONDS))
    yield
    await env.set_fields("turns", CHECK, due_at=PAST)
    await env.wait_for_metric(CHECKED_AT, every(-60))


@asynccontextmanager
async def user_broken(env: AlertEnvironment) -> AsyncIterator[None]:
    """A field is missing that every user has."""
    user = await env.create_user("broken")
    users, where = env.collection("users"), {"_id": user.id}
    await env.wait_for_none("errands", {"payload.user_id": user.id})
    created = (await users.find_one(where) or {})["create_time"]
    await users.update_one(where, {"$unset": {"create_time": 1}})

    async def fails() -> bool:
        return await env.send_as(user, "GET", "get_configs/") == 500

    await env.wait_until(fails, "HTTP 500")
    yield
    await env.set_fields("users", where, create_time=created)


async def _read_catalogue_again(env: AlertEnvironment) -> None:
    """Every process does, after the change of an operator, instead of in half a minute."""
    gift = (await env.run.api.ops_request("GET", "gifts")).json["items"][0]
    await env.run.api.ops_request("PATCH", f"gifts/{gift['id']}", name=gift["name"])


async def _add_gold(env: AlertEnvironment, user_id: str, gold: int) -> None:
    """Change a balance, and have the ledger checked."""
    await env.collection("users").update_one({"_id": user_id}, {"$inc": {"gold": gold}})
    await env.set_fields("turns", CHECK, due_at=PAST)
