"""Grants, settlements and reversals that a second operator confirms, against a real MongoDB."""

import asyncio
import functools
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tornado.ioloop import IOLoop

from core.errors import NotFound
from core.locks import NamedLocks
from ledger.errors import InsufficientGold, NotReversible, RequestIdReused
from ledger.journal import debt_account, user_account
from realtime.bus import Bus
from services.errors import RateRequired, RequesterNotAllowed, SecondPersonRequired
from services.gold.catalogue import CatalogueService
from services.gold.ledger import LedgerService
from services.operators.approvals import ApprovalService, CatalogueKind
from storage.errors import AlreadyDecided
from storage.operators.approvals import Approval
from storage.operators.operators import OperatorAccount
from tests.support.storage import StoresFixture

LIMIT = 100


@pytest.fixture
def approvals(io_loop: IOLoop, stores: StoresFixture) -> ApprovalService:
    for name, role in (("olga", "finance"), ("ada", "admin")):
        account = OperatorAccount(name, role, "", "", "", None)
        io_loop.run_sync(functools.partial(stores.operators.add, account))
    return approvals_of(stores)


def approvals_of(stores: StoresFixture, limit: int = LIMIT) -> ApprovalService:
    """The service of another process."""
    return ApprovalService(
        stores.approvals,
        stores.operators,
        LedgerService(stores.ledger, NamedLocks().hold),
        CatalogueService(stores.gifts, stores.configs, Bus()),
        {"config": stores.configs, "block": stores.blocks},
        limit,
    )


async def ask(
    approvals: ApprovalService, user_id: str, gold: int = LIMIT + 1, request_id: str = "one"
) -> Approval:
    waiting = await approvals.grant(user_id, gold, "compensation", request_id, by="olga")
    assert isinstance(waiting, Approval)
    assert waiting.state == "waiting"
    return waiting


async def expire(stores: StoresFixture) -> None:
    past = {"$set": {"expires_at": datetime.now(UTC)}}
    await stores.database.collection("approvals").update_many({}, past)


async def test_up_to_the_limit_one_operator_is_enough(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    assert await approvals.grant(anna, LIMIT, "birthday", "one", by="olga") == {
        "gold": LIMIT,
        "income": 0,
    }
    [entry] = await stores.entries()
    assert entry["by"] == "olga"


async def test_a_confirmed_grant_is_booked_in_the_name_of_both(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    assert (await stores.balance(anna)).gold == 0
    assert timedelta(hours=23) < waiting.expires_at - datetime.now(UTC) <= timedelta(days=1)
    done = await approvals.confirm(waiting.id, "pavel", "seen the ticket")
    decision = (done.state, done.decided_by, done.decision_reason)
    assert decision == ("done", "pavel", "seen the ticket")
    [entry] = await stores.entries()
    assert (entry["_id"], entry["by"], entry["note"]) == ("grant:one", "olga+pavel", "compensation")
    again = await approvals.grant(anna, LIMIT + 1, "compensation", "one", by="olga")
    assert again == {"gold": LIMIT + 1, "income": 0}
    assert await approvals.confirm(waiting.id, "pavel", "again") == done
    assert (await stores.balance(anna)).gold == LIMIT + 1


async def test_nobody_confirms_their_own_request(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    with pytest.raises(SecondPersonRequired):
        await approvals.confirm(waiting.id, "olga", "mine")
    assert (await approvals.decline(waiting.id, "olga", "withdrawn")).state == "declined"
    with pytest.raises(AlreadyDecided):
        await approvals.confirm(waiting.id, "pavel", "late")
    assert await stores.entries() == []


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "moderator"}])
async def test_a_request_of_who_may_no_longer_make_it_can_only_be_declined(
    approvals: ApprovalService, stores: StoresFixture, change: dict[str, Any]
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    await stores.operators.update("olga", **change)
    with pytest.raises(RequesterNotAllowed):
        await approvals.confirm(waiting.id, "pavel", "yes")
    assert await stores.entries() == []
    assert (await approvals.decline(waiting.id, "pavel", "left")).state == "declined"


async def test_small_amounts_of_one_operator_add_up_for_a_day(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    await stores.database.collection("users").update_one({"_id": anna}, {"$set": {"owed": 30}})

    async def grant(gold: int, request_id: str, by: str = "olga") -> Any:
        return await approvals.grant(anna, gold, "compensation", request_id, by=by)

    assert isinstance(await grant(60, "one"), dict)
    await approvals.settle_debt(anna, 30, "refund", "two", by="olga", by_house=True)
    waiting = await grant(11, "three")
    assert isinstance(waiting, Approval)
    assert isinstance(await grant(60, "one"), dict), "a repetition moves nothing"
    assert isinstance(await grant(10, "four"), dict), "the limit itself"
    assert isinstance(await grant(LIMIT, "five", by="rita"), dict)
    assert isinstance(await approvals.reverse("grant:four", "a mistake", by="olga"), Approval)
    yesterday = datetime.now(UTC) - timedelta(hours=24)
    await stores.database.collection("ledger").update_many({}, {"$set": {"at": yesterday}})
    assert isinstance(await grant(LIMIT, "six"), dict)
    await stores.database.collection("ledger").update_many({}, {"$set": {"at": yesterday}})
    assert await grant(11, "three") == waiting, "what was asked for is not booked alone"


async def test_requests_at_once_in_two_processes_stay_within_the_limit_together(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    users = await stores.create_users(*[(0, 0)] * 8)
    other = approvals_of(stores)
    grants = [
        service.grant(user, LIMIT // 2, "compensation", f"at-once-{n}", by="olga")
        for n, (user, service) in enumerate(zip(users, [approvals, other] * 4, strict=True))
    ]
    replies = await asyncio.gather(*grants)
    assert sum(isinstance(reply, Approval) for reply in replies) == 6
    assert sum([(await stores.balance(user)).gold for user in users]) == LIMIT


async def test_a_repeated_request_is_one_request(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    first, second = await asyncio.gather(ask(approvals, anna), ask(approvals, anna))
    assert first.id == second.id
    with pytest.raises(RequestIdReused):
        await ask(approvals, anna, gold=LIMIT + 2)
    await approvals.decline(first.id, "pavel", "no ticket")
    declined = await approvals.grant(anna, LIMIT + 1, "compensation", "one", by="olga")
    assert isinstance(declined, Approval)
    assert (declined.id, declined.state) == (first.id, "declined")


async def test_two_confirmations_at_once_book_once(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    names = ("pavel", "rita", "pavel")
    decisions = (approvals.confirm(waiting.id, name, "yes") for name in names)
    results = await asyncio.gather(*decisions, return_exceptions=True)
    winner = (await stores.approvals.get(waiting.id)).decided_by
    for name, result in zip(names, results, strict=True):
        expected = Approval if name == winner else AlreadyDecided
        assert isinstance(result, expected), (name, winner, result)
    assert len(await stores.entries()) == 1
    assert (await stores.balance(anna)).gold == LIMIT + 1


async def test_a_confirmation_killed_before_its_commit_leaves_the_request_waiting(
    approvals: ApprovalService, stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)

    async def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stores.ledger, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            await approvals.confirm(waiting.id, "pavel", "yes")
    assert (await stores.approvals.get(waiting.id)).state == "waiting"
    assert (await stores.balance(anna)).gold == 0
    assert (await approvals.confirm(waiting.id, "pavel", "yes")).state == "done"
    assert (await stores.balance(anna)).gold == LIMIT + 1


async def test_a_request_expires_after_a_day(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    await expire(stores)
    for decide in (approvals.confirm, approvals.decline):
        with pytest.raises(AlreadyDecided):
            await decide(waiting.id, "pavel", "late")
    store = stores.approvals
    assert (await store.get(waiting.id)).state == "expired"
    assert await store.page("", 10, waiting=True) == ([], None)
    assert [it.id for it in (await store.page("", 10, waiting=False))[0]] == [waiting.id]


async def test_a_settlement_waits_and_is_refused_if_the_gold_was_spent_meanwhile(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((LIMIT, 0))
    await stores.database.collection("users").update_one(
        {"_id": anna}, {"$set": {"owed": LIMIT + 1}}
    )
    waiting = await approvals.settle_debt(
        anna, LIMIT + 1, "refund", "one", by="olga", by_house=False
    )
    assert isinstance(waiting, Approval)
    with pytest.raises(InsufficientGold):
        await approvals.confirm(waiting.id, "pavel", "yes")
    await approvals.grant(anna, 1, "the rest", "two", by="olga")
    assert (await approvals.confirm(waiting.id, "pavel", "yes")).state == "done"
    assert (await stores.balance(anna)).gold == 0
    [entry] = await stores.entries(by="olga+pavel")
    assert {line["account"] for line in entry["lines"]} == {user_account(anna), debt_account(anna)}


async def test_a_reversal_that_was_declined_may_be_requested_again(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    [anna] = await stores.create_users((0, 0))
    await approvals.confirm((await ask(approvals, anna)).id, "pavel", "yes")
    for decide in (approvals.decline, None, approvals.confirm):
        waiting = await approvals.reverse("grant:one", "a mistake", by="olga")
        assert isinstance(waiting, Approval)
        assert (waiting.gold, waiting.state) == (LIMIT + 1, "waiting")
        if decide:
            await decide(waiting.id, "pavel", "looked at")
        else:
            await expire(stores)
    assert (await stores.balance(anna)).gold == 0
    assert await approvals.reverse("grant:one", "a mistake", by="olga") == {"reverses": "grant:one"}
    with pytest.raises(NotReversible):
        await approvals.reverse("reversal:grant:one", "no", by="olga")


async def test_a_request_whose_entry_was_booked_without_it_can_be_confirmed(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    """As when the limit was raised, and the request repeated."""
    [anna] = await stores.create_users((0, 0))
    waiting = await ask(approvals, anna)
    unlimited = approvals_of(stores, limit=0)
    await unlimited.grant(anna, LIMIT + 1, "compensation", "one", by="olga")
    assert (await approvals.confirm(waiting.id, "pavel", "yes")).state == "done"
    assert (await stores.balance(anna)).gold == LIMIT + 1


# ---- rates and recharge blocks

RATE = {"key": "WITHDRAW_RATE", "value": 0.1, "enabled": True, "remark": ""}
NOTICE = {"key": "NOTICE", "value": 1, "enabled": True, "remark": ""}
BLOCK = {"gold": 60, "fen": 600}


async def stored_catalogue(stores: StoresFixture) -> None:
    """The rate is config 1, another config 2, and the block 1."""
    for config in (RATE, NOTICE):
        await stores.configs.add(**config)
    await stores.blocks.add(**BLOCK)


async def test_an_admin_alone_does_not_raise_the_rate_of_payouts(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    waiting = await approvals.change_catalogue("config", 1, {"value": 1}, by="ada")
    assert isinstance(waiting, Approval)
    assert (waiting.on, waiting.before, waiting.after) == (
        *("WITHDRAW_RATE", {"id": 1, **RATE}, {"id": 1, **RATE, "value": 1}),
    )
    with pytest.raises(SecondPersonRequired):
        await approvals.confirm(waiting.id, "ada", "myself")
    assert await stores.configs.get(1) == waiting.before
    done = await approvals.confirm(waiting.id, "olga", "agreed in the meeting")
    assert (done.state, done.decided_by) == ("done", "olga")
    assert await stores.configs.get(1) == waiting.after
    assert await approvals.confirm(waiting.id, "olga", "again") == done


@pytest.mark.parametrize(
    ("kind", "number", "fields", "waits"),
    [
        ("config", 1, {"remark": "why"}, False),
        ("config", 1, {"enabled": False}, True),
        ("config", 1, None, True),
        ("config", 2, {"value": 2}, False),
        ("config", 2, {"key": "EXCHANGE_RATE"}, True),
        ("config", 2, None, False),
        ("config", None, RATE, True),
        ("config", None, NOTICE, False),
        ("block", 1, {"gold": 61}, True),
        ("block", 1, {"fen": 1}, True),
        ("block", 1, {"gold": 60}, False),
        ("block", 1, None, False),
        ("block", None, {"gold": 10**9, "fen": 1}, True),
    ],
)
async def test_what_alters_the_worth_of_gold_or_income_waits(
    approvals: ApprovalService,
    stores: StoresFixture,
    kind: CatalogueKind,
    number: int | None,
    fields: dict[str, Any] | None,
    waits: bool,
) -> None:
    await stored_catalogue(stores)
    await stores.configs.add(**RATE)
    store = stores.configs if kind == "config" else stores.blocks
    before = await store.all()
    answer = await approvals.change_catalogue(kind, number, fields, by="ada")
    assert isinstance(answer, Approval) is waits
    assert (await store.all() == before) is (waits or fields == {"gold": 60})
    if isinstance(answer, Approval):
        await approvals.confirm(answer.id, "olga", "yes")
        assert await store.all() != before


async def test_without_a_limit_one_admin_changes_rates_and_blocks(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    alone = approvals_of(stores, limit=0)
    changed = await alone.change_catalogue("config", 1, {"value": 0.2}, by="ada")
    assert changed == await stores.configs.get(1) == {"id": 1, **RATE, "value": 0.2}
    assert await alone.change_catalogue("block", 1, None, by="ada") == {}


async def test_what_was_confirmed_is_what_is_stored(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    renaming = await approvals.change_catalogue(
        "config", 2, {"key": "WITHDRAW_RATE", "value": 0.2}, by="ada"
    )
    assert isinstance(renaming, Approval)
    await approvals.change_catalogue("config", 2, {"value": 1, "remark": "x"}, by="ada")
    await approvals.confirm(renaming.id, "olga", "yes")
    assert await stores.configs.get(2) == renaming.after


@pytest.mark.parametrize(
    ("kind", "confirmed", "change"),
    [
        ("config", {"value": 0.2}, {"value": 0.1, "remark": "x"}),
        ("block", {"fen": 700}, {"gold": 60, "fen": 600}),
    ],
)
async def test_a_change_by_one_admin_does_not_undo_one_confirmed_meanwhile(
    approvals: ApprovalService,
    stores: StoresFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: CatalogueKind,
    confirmed: dict[str, Any],
    change: dict[str, Any],
) -> None:
    await stored_catalogue(stores)
    store = stores.configs if kind == "config" else stores.blocks
    read = AsyncMock(return_value=await store.get(1))
    await store.edit(1, **confirmed)
    with monkeypatch.context() as before:
        before.setattr(store, "get", read)
        assert not isinstance(await approvals.change_catalogue(kind, 1, change, by="ada"), Approval)
    stored = await store.get(1)
    assert {name: stored[name] for name in confirmed} == confirmed
    assert stored.get("remark") == change.get("remark")


async def test_a_config_that_became_a_rate_meanwhile_is_not_removed_alone(
    approvals: ApprovalService, stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored_catalogue(stores)
    read = AsyncMock(return_value=await stores.configs.get(2))
    renamed = await stores.configs.edit(2, key="WITHDRAW_RATE")
    with monkeypatch.context() as before:
        before.setattr(stores.configs, "get", read)
        with pytest.raises(NotFound):
            await approvals.change_catalogue("config", 2, None, by="ada")
    assert await stores.configs.get(2) == renamed


async def test_a_change_of_nothing_leaves_the_only_rate_as_it_is(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    for fields in ({}, {"value": 0.1}):
        unchanged = await approvals.change_catalogue("config", 1, fields, by="ada")
        assert unchanged == await stores.configs.get(1) == {"id": 1, **RATE}


async def test_a_change_of_a_rate_needs_an_admin_until_it_is_confirmed(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    waiting = await approvals.change_catalogue("block", 1, {"gold": 600}, by="ada")
    assert isinstance(waiting, Approval)
    await stores.operators.update("ada", role="finance")
    with pytest.raises(RequesterNotAllowed):
        await approvals.confirm(waiting.id, "olga", "yes")
    assert (await approvals.decline(waiting.id, "olga", "no")).state == "declined"
    assert await stores.blocks.get(1) == {"id": 1, **BLOCK}


async def test_the_only_rate_stays_also_if_its_end_is_confirmed(
    approvals: ApprovalService, stores: StoresFixture
) -> None:
    await stored_catalogue(stores)
    with pytest.raises(RateRequired):
        await approvals.change_catalogue("config", 1, None, by="ada")
    await stores.configs.add(**RATE)
    for number in (1, 3):
        waiting = await approvals.change_catalogue("config", number, None, by="ada")
        assert isinstance(waiting, Approval)
        if number == 1:
            first = waiting
    await approvals.confirm(first.id, "olga", "yes")
    with pytest.raises(RateRequired):
        await approvals.confirm(waiting.id, "olga", "yes")
    assert (await approvals.decline(waiting.id, "olga", "no")).state == "declined"
