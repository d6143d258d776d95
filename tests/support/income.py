"""Hosts with income, over the API."""

from typing import Any

from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give

NO_MATURITY = {"maturity_days": 0}
"""Settings with which income can be withdrawn at once."""


async def payee(api: ApiFixture, candies: int = 400, name: str = "红娘") -> ApiClient:
    """A user who was given candies: each is 2.5 income, 25 fen."""
    giver, host = await api.user(f"giver of {name}", 1, gold=5 * candies), await api.user(name, 2)
    (await give(giver, host.id, CANDY, candies)).ok()
    return host


async def income_of(client: ApiClient) -> int:
    return int((await client.get("qlive_user/get_userinfo/")).ok()["income"])


async def withdraw(
    client: ApiClient, income: int = 100, request_id: str = "r1", **more: Any
) -> Any:
    reply = await client.post("qlive_pay/withdraw/", income=income, request_id=request_id, **more)
    return reply.ok()


async def withdrawals_of(client: ApiClient) -> list[Any]:
    return (await client.get("qlive_pay/withdrawals/")).ok()["items"]


# ---- the simulated WeChat


async def confirm(api: ApiFixture, package: str, **more: Any) -> Any:
    """The user confirms a transfer on WeChat's page; `report` selects the notifications."""
    body = {"package": package, **more}
    return (await api.request("POST", "/sim/transfer/confirm", json=body)).ok()


async def next_transfer_fails(api: ApiFixture, fault: str) -> None:
    """The next transfer fails in this way."""
    (await api.request("POST", "/sim/transfer/fault", json={"fault": fault})).ok()


async def transfers_at_bank(api: ApiFixture) -> list[Any]:
    return (await api.request("GET", "/sim/transfer/bills")).ok()["items"]
