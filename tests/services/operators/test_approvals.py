"""Movements of gold and changes of its worth that a second operator confirms, on MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tornado.ioloop import IOLoop

from core.clock import day_interval, day_of
from core.limits import NamedLocks
from ledger.errors import InsufficientGold, NotReversible, RequestIdReused
from ledger.journal import debt_account, user_account
from realtime.bus import Bus
from services.errors import RequesterNotAllowed, SecondPersonRequired
from services.gold.catalogue import CatalogueService
from services.gold.ledger import LedgerService
from services.operators.approvals import ApprovalService, CatalogueKind
from storage.errors import AlreadyDecided, ApprovalNotFound, NothingWaits, RateRequired
from storage.operators.approvals import KEPT, Approval
from storage.operators.operators import OperatorAccount
from tests.support.storage import StoresFixture

LIMIT = 100
YESTERDAY = timedelta(hours=24)


class ApprovalFixture:
    """anna without gold; olga of finance and the admin ada, who make requests."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.store, self.operators = stores, stores.approvals, stores.operators
        self.service = self.process()
        self.anna = ""

    def process(self, limit: int = LIMIT) -> ApprovalService:
        """The service of another process."""
        stores = self.stores
        ledger = LedgerService(stores.ledger, NamedLocks().lock)
        catalogue = CatalogueService(stores.gifts, stores.configs, Bus())
        return ApprovalService(stores, ledger, catalogue, limit)

    async def create(self) -> None:
        (self.anna,) = await self.stores.create_users((0, 0))
        for name, role in (("olga", "finance"), ("ada", "admin")):
            await self.operators.add(OperatorAccount(name, role, "", "", "", None))

    async def grant(self, gold: int, request_id: str = "one", by: str = "olga") -> Any:
        return await self.service.grant(self.anna, gold, "compensation", request_id, by=by)

    async def ask(self, gold: int = LIMIT + 1) -> Approval:
        waiting = await self.grant(gold)
        assert isinstance(waiting, Approval)
        assert waiting.state == "waiting"
        return waiting

    async def change(
        self, kind: CatalogueKind, number: int | None, fields: dict[str, Any] | None
    ) -> Any:
        return await self.service.change_catalogue(kind, number, fields, by="ada")

    async def ask_for(self, kind: str) -> Approval:
        """A large grant of olga, or a change of the block by ada."""
        waiting = await (self.ask() if kind == "grant" else self.change("block", 1, {"gold": 70}))
        assert isinstance(waiting, Approval)
        return waiting

    async def set(self, collection: str, **fields: Any) -> None:
        await self.stores.database.collection(collection).update_many({}, {"$set": fields})

    async def gold(self) -> int:
        return (await self.stores.balance(self.anna)).gold


@pytest.fixture
def approvals(io_loop: IOLoop, stores: StoresFixture) -> ApprovalFixture:
    fixture = ApprovalFixture(stores)
    io_loop.run_sync(fixture.create)
    return fixture


async def test_a_confirmed_grant_is_booked_in_the_name_of_both(approvals: ApprovalFixture) -> None:
    waiting = await approvals.ask()
    assert await approvals.gold() == 0
    assert timedelta(hours=23) < waiting.expires_at - datetime.now(UTC) <= timedelta(days=1)
    done = await approvals.service.confirm(waiting.id, "pavel", "seen the ticket")
    decision = (done.state, done.decided_by, done.decision_reason)
    assert decision == ("done", "pavel", "seen the ticket")
    (entry,) = await approvals.stores.entries()
    assert (entry["_id"], entry["by"], entry["note"]) == ("grant:one", "olga+pavel", "compensation")
    assert await approvals.grant(LIMIT + 1) == {"gold": LIMIT + 1, "income": 0}
    assert await approvals.service.confirm(waiting.id, "pavel", "again") == done
    assert await approvals.gold() == LIMIT + 1


async def test_an_operator_only_declines_an_own_request(approvals: ApprovalFixture) -> None:
    waiting = await approvals.ask()
    with pytest.raises(SecondPersonRequired):
        await approvals.service.confirm(waiting.id, "olga", "mine")
    for _ in range(2):
        declined = await approvals.service.decline(waiting.id, "olga", "withdrawn")
        assert declined.state == "declined"
    with pytest.raises(AlreadyDecided):
        await approvals.service.confirm(waiting.id, "pavel", "late")
    with pytest.raises(ApprovalNotFound):
        await approvals.service.confirm("no id", "pavel", "yes")
    assert await approvals.stores.entries() == []


async def test_small_amounts_of_one_operator_add_up_for_a_day(approvals: ApprovalFixture) -> None:
    grant, service, anna = approvals.grant, approvals.service, approvals.anna
    await approvals.set("users", owed=30)
    assert await grant(60) == {"gold": 60, "income": 0}
    await service.pay_off_debt(anna, 30, "refund", "two", by="olga", by_house=True)
    waiting = await grant(11, "three")
    assert isinstance(waiting, Approval)
    assert isinstance(await grant(60), dict), "a repetition moves nothing"
    assert isinstance(await grant(10, "four"), dict), "the limit itself"
    assert isinstance(await grant(LIMIT, "five", by="rita"), dict)
    assert isinstance(await service.reverse("grant:four", "a mistake", by="olga"), Approval)
    await approvals.set("ledger", at=datetime.now(UTC) - YESTERDAY)
    assert isinstance(await grant(LIMIT, "six"), dict)
    await approvals.set("ledger", at=datetime.now(UTC) - YESTERDAY)
    assert await grant(11, "three") == waiting, "the operator does not book it alone later"


async def test_requests_at_once_stay_within_the_limit_together(approvals: ApprovalFixture) -> None:
    users = await approvals.stores.create_users(*[(0, 0)] * 8)
    processes = [approvals.service, approvals.process()] * 4
    grants = [
        service.grant(user, LIMIT // 2, "compensation", f"at-once-{n}", by="olga")
        for n, (user, service) in enumerate(zip(users, processes, strict=True))
    ]
    replies = await asyncio.gather(*grants)
    assert sum(isinstance(reply, Approval) for reply in replies) == 6
    assert sum([(await approvals.stores.balance(user)).gold for user in users]) == LIMIT


async def test_a_repeated_request_is_one_request(approvals: ApprovalFixture) -> None:
    first, second = await asyncio.gather(approvals.ask(), approvals.ask())
    assert first.id == second.id
    with pytest.raises(RequestIdReused):
        await approvals.ask(gold=LIMIT + 2)
    await approvals.service.decline(first.id, "pavel", "no ticket")
    declined = await approvals.grant(LIMIT + 1)
    assert (declined.id, declined.state) == (first.id, "declined")


async def test_a_request_expires_after_a_day(approvals: ApprovalFixture) -> None:
    waiting = await approvals.ask()
    row = await approvals.stores.database.collection("approvals").find_one({})
    assert row
    assert row["delete_at"] - row["made_at"] == KEPT
    await approvals.set("approvals", expires_at=datetime.now(UTC))
    for decide in (approvals.service.confirm, approvals.service.decline):
        with pytest.raises(AlreadyDecided):
            await decide(waiting.id, "pavel", "late")
    assert (await approvals.store.get(waiting.id)).state == "expired"


async def test_a_payment_of_a_debt_is_refused_if_the_gold_was_spent(
    approvals: ApprovalFixture,
) -> None:
    anna, service = approvals.anna, approvals.service
    await approvals.grant(LIMIT, "gold", by="rita")
    await approvals.set("users", owed=LIMIT + 1)
    waiting = await service.pay_off_debt(anna, LIMIT + 1, "", "one", by="olga", by_house=False)
    assert isinstance(waiting, Approval)
    with pytest.raises(InsufficientGold):
        await service.confirm(waiting.id, "pavel", "yes")
    await approvals.grant(1, "the rest")
    assert (await service.confirm(waiting.id, "pavel", "yes")).state == "done"
    assert await approvals.gold() == 0
    (entry,) = await approvals.stores.entries(by="olga+pavel")
    assert {line["account"] for line in entry["lines"]} == {user_account(anna), debt_account(anna)}


async def test_a_reversal_declined_or_expired_is_requested_again(
    approvals: ApprovalFixture,
) -> None:
    service, reverse = approvals.service, approvals.service.reverse
    await service.confirm((await approvals.ask()).id, "pavel", "yes")
    expired = await reverse("grant:one", "a mistake", by="olga")
    await approvals.set("approvals", expires_at=datetime.now(UTC))
    assert (await reverse("grant:one", "a mistake", by="olga")).id != expired.id
    await approvals.set("approvals", expires_at=datetime.now(UTC))
    for decide in (service.decline, service.confirm):
        waiting = await reverse("grant:one", "a mistake", by="olga")
        assert isinstance(waiting, Approval)
        assert (waiting.gold, waiting.state) == (LIMIT + 1, "waiting")
        await decide(waiting.id, "pavel", "looked at")
    assert await approvals.gold() == 0
    assert await reverse("grant:one", "a mistake", by="olga") == {"reverses": "grant:one"}
    with pytest.raises(NotReversible):
        await reverse("reversal:grant:one", "no", by="olga")


async def test_a_request_that_was_booked_already_is_confirmed(approvals: ApprovalFixture) -> None:
    """As when the limit was raised, and the request repeated."""
    waiting = await approvals.ask()
    unlimited = approvals.process(limit=0)
    await unlimited.grant(approvals.anna, LIMIT + 1, "compensation", "one", by="olga")
    assert (await approvals.service.confirm(waiting.id, "pavel", "yes")).state == "done"
    assert await approvals.gold() == LIMIT + 1


# ---- rates and recharge blocks

RATE = {"key": "WITHDRAW_RATE", "value": 0.1, "enabled": True, "remark": ""}
NOTICE = {"key": "NOTICE", "value": 1, "enabled": True, "remark": ""}
BLOCK = {"gold": 60, "fen": 600}


@pytest.fixture
def catalogue(io_loop: IOLoop, approvals: ApprovalFixture) -> ApprovalFixture:
    """The rate is config 1, another config 2, and the block 1."""

    async def store() -> None:
        for config in (RATE, NOTICE):
            await approvals.stores.configs.add(**config)
        await approvals.stores.blocks.add(**BLOCK)

    io_loop.run_sync(store)
    return approvals


async def test_an_admin_alone_raises_no_rate_of_payouts(catalogue: ApprovalFixture) -> None:
    configs, confirm = catalogue.stores.configs, catalogue.service.confirm
    waiting = await catalogue.change("config", 1, {"value": 1})
    assert isinstance(waiting, Approval)
    before = {"id": 1, **RATE}
    shown = (waiting.on, waiting.before, waiting.after)
    assert shown == ("WITHDRAW_RATE", before, before | {"value": 1})
    with pytest.raises(SecondPersonRequired):
        await confirm(waiting.id, "ada", "myself")
    done = await confirm(waiting.id, "olga", "agreed in the meeting")
    following = {"fields": {"value": 1}, "at": day_interval(day_of(datetime.now(UTC)))[1]}
    assert await configs.get(1) == before | {"next": following}
    assert await confirm(waiting.id, "olga", "again") == done


@pytest.mark.parametrize(
    ("kind", "number", "fields", "waits"),
    [
        ("config", 1, {"remark": "why"}, False),
        ("config", 1, {"value": 0.2}, True),
        ("config", 2, {"value": 2}, False),
        ("config", 2, None, False),
        ("config", None, {**RATE, "key": "EXCHANGE_RATE"}, True),
        ("config", None, NOTICE, False),
        ("block", 1, {"gold": 61}, True),
        ("block", 1, {"fen": 1}, True),
        ("block", 1, None, False),
        ("block", None, {"gold": 10**9, "fen": 1}, True),
    ],
)
async def test_what_alters_the_worth_of_gold_or_income_waits(
    catalogue: ApprovalFixture,
    kind: CatalogueKind,
    number: int | None,
    fields: dict[str, Any] | None,
    waits: bool,
) -> None:
    store = catalogue.stores.configs if kind == "config" else catalogue.stores.blocks
    before = await store.all()
    answer = await catalogue.change(kind, number, fields)
    assert isinstance(answer, Approval) is waits
    assert (await store.all() == before) is waits
    if waits:
        await catalogue.service.confirm(answer.id, "olga", "yes")
        assert await store.all() != before


async def test_without_a_limit_one_admin_changes_rates(catalogue: ApprovalFixture) -> None:
    alone, configs = catalogue.process(limit=0), catalogue.stores.configs
    changed = await alone.change_catalogue("config", 1, {"value": 0.2, "remark": "x"}, by="ada")
    assert (changed["value"], changed["remark"], changed["next"]["fields"]) == (
        *(0.1, "x"),
        {"value": 0.2},
    )
    assert await alone.change_catalogue("config", 1, {"value": 0.1}, by="ada") == changed
    assert changed == await configs.get(1)
    assert await alone.change_catalogue("block", 1, None, by="ada") == {}


async def test_the_last_change_that_is_confirmed_waits_until_it_is_unscheduled(
    catalogue: ApprovalFixture,
) -> None:
    confirm, blocks = catalogue.service.confirm, catalogue.stores.blocks
    service = CatalogueService(catalogue.stores.gifts, catalogue.stores.configs, Bus())
    first = await catalogue.change("block", 1, {"gold": 70})
    second = await catalogue.change("block", 1, {"fen": 700})
    for request in (first, second):
        await confirm(request.id, "olga", "yes")
    assert (await blocks.get(1))["next"]["fields"] == {"gold": 60, "fen": 700}
    third = await catalogue.change("block", 1, {"gold": 80})
    assert third.before == {"id": 1, **BLOCK}, "what waits may be unscheduled meanwhile"
    await service.unschedule(blocks, 1)
    with pytest.raises(NothingWaits):
        await service.unschedule(blocks, 1)
    assert await blocks.get(1) == {"id": 1, **BLOCK}
    await confirm(third.id, "olga", "yes")
    assert (await blocks.get(1))["next"]["fields"] == {"gold": 80, "fen": 600}
    assert await confirm(first.id, "olga", "again") == await catalogue.store.get(first.id)
    assert (await blocks.get(1))["next"]["fields"]["gold"] == 80, "a repetition changes nothing"


async def test_a_change_by_one_admin_does_not_undo_one_confirmed_meanwhile(
    catalogue: ApprovalFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = catalogue.stores.configs
    read = AsyncMock(return_value=await configs.get(1))
    await configs.edit(1, value=0.2)
    with monkeypatch.context() as before:
        before.setattr(configs, "get", read)
        await catalogue.change("config", 1, {"value": 0.1, "remark": "x"})
    assert await configs.get(1) == {"id": 1, **RATE, "value": 0.2, "remark": "x"}


@pytest.mark.parametrize("kind", ["grant", "block"])
async def test_decisions_at_once_have_one_outcome(catalogue: ApprovalFixture, kind: str) -> None:
    """Carried out exactly if it is confirmed."""
    is_grant, blocks = kind == "grant", catalogue.stores.blocks
    waiting = await catalogue.ask_for(kind)
    names = ("pavel", "rita", "pavel")
    decisions = [catalogue.process().confirm(waiting.id, name, "yes") for name in names]
    refusal = catalogue.service.decline(waiting.id, waiting.by, "no")
    *results, declined = await asyncio.gather(*decisions, refusal, return_exceptions=True)
    decided = await catalogue.store.get(waiting.id)
    for name, result in zip(names, results, strict=True):
        expected = Approval if name == decided.decided_by else AlreadyDecided
        assert isinstance(result, expected), (name, decided.decided_by, result)
    is_confirmed = decided.state == "done"
    assert isinstance(declined, AlreadyDecided if is_confirmed else Approval)
    assert len(await catalogue.stores.entries()) == (is_confirmed and is_grant)
    assert await catalogue.gold() == (LIMIT + 1 if is_confirmed and is_grant else 0)
    assert ("next" in await blocks.get(1)) == (is_confirmed and not is_grant)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("grant", {"disabled": True}),
        ("grant", {"role": "moderator"}),
        ("block", {"role": "finance"}),
    ],
)
async def test_a_request_of_an_operator_without_the_role_can_only_be_declined(
    catalogue: ApprovalFixture, kind: str, change: dict[str, Any]
) -> None:
    waiting = await catalogue.ask_for(kind)
    await catalogue.operators.update(waiting.by, **change)
    with pytest.raises(RequesterNotAllowed):
        await catalogue.service.confirm(waiting.id, "pavel", "yes")
    assert await catalogue.stores.entries() == []
    assert await catalogue.stores.blocks.get(1) == {"id": 1, **BLOCK}
    assert (await catalogue.service.decline(waiting.id, "pavel", "left")).state == "declined"


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (None, RATE),
        (None, {**RATE, "key": "EXCHANGE_RATE", "enabled": False}),
        (1, None),
        (1, {"enabled": False}),
        (1, {"key": "OTHER"}),
        (1, {"key": "EXCHANGE_RATE", "value": 0.5}),
        (2, {"key": "EXCHANGE_RATE"}),
    ],
)
async def test_each_rate_has_one_row_that_stays(
    catalogue: ApprovalFixture, number: int | None, fields: dict[str, Any] | None
) -> None:
    before = await catalogue.stores.configs.all()
    with pytest.raises(RateRequired):
        await catalogue.change("config", number, fields)
    assert await catalogue.stores.configs.all() == before


async def test_a_missing_rate_is_added_once_though_two_requests_are_confirmed(
    catalogue: ApprovalFixture,
) -> None:
    await catalogue.stores.make_indexes()
    missing = {**RATE, "key": "EXCHANGE_RATE"}
    first, second = [await catalogue.change("config", None, missing) for _ in range(2)]
    await catalogue.service.confirm(first.id, "olga", "yes")
    assert (await catalogue.stores.configs.rates(datetime.now(UTC)))["EXCHANGE_RATE"]
    with pytest.raises(RateRequired):
        await catalogue.service.confirm(second.id, "olga", "yes")
    assert (await catalogue.store.get(second.id)).state == "waiting"
