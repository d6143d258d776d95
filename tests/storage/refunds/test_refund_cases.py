"""Refund cases on a real MongoDB: guarded, listed, and written step by step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import WriteConflict
from ledger.refund_cases import RefundCase
from ledger.refund_plan import GiftStep, HostStep, OrderStep
from storage.errors import OrderInRefund, RefundCaseNotFound
from storage.refunds.refund_cases import RefundCaseStore
from tests.support.storage import StoresFixture

AT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def new_case(number: int, *orders: str, user_id: str = "anna") -> RefundCase:
    steps = (
        OrderStep(order, "xpay", 600, 60, by_apple=False, refund=f"R{order}") for order in orders
    )
    gifts = (GiftStep(f"gift:anna:{n}", AT, "bert", 20, 10) for n in range(3))
    hosts = (HostStep("bert", 30, 30, 0, 0, 0),)
    at = AT + number * MINUTE
    return RefundCase(
        *(f"R{number}", f"request {number}", user_id, "a minor", "olga", at),
        *(tuple(steps), tuple(gifts), hosts, 0),
    )


@pytest.fixture
def cases(stores: StoresFixture) -> RefundCaseStore:
    return stores.refund_cases


async def test_a_case_is_read_as_it_was_stored(cases: RefundCaseStore) -> None:
    case = new_case(1, "Q1", "Q2")
    assert await cases.open(case) == case
    assert await cases.get("R1") == await cases.find_request("request 1") == case
    audited = {"user_id": "anna", "orders": [{"number": "Q1"}, {"number": "Q2"}]}
    assert await cases.fields("R1", "user_id", "orders.number") == audited
    assert await cases.find_request("request 2") is None
    assert await cases.fields("R2", "state") == {}
    with pytest.raises(RefundCaseNotFound):
        await cases.get("R2")


async def test_an_order_is_in_one_open_case(cases: RefundCaseStore) -> None:
    first = await cases.open(new_case(1, "Q1", "Q2"))
    with pytest.raises(OrderInRefund):
        await cases.open(new_case(2, "Q3", "Q2"))
    again = replace(new_case(3, "Q9"), request_id="request 1")
    assert await cases.open(again) == first
    await cases.save(first, first.drop("olga", "no", AT))
    second = await cases.open(new_case(2, "Q3", "Q2"))
    assert await cases.with_order("Q2") == [], "only opened, and dropped"
    closed = await cases.save(second, replace(second, state="closed"))
    third = await cases.open(new_case(4, "Q2"))
    third = await cases.save(third, third.confirm("olga", "yes", AT))
    assert await cases.with_order("Q2") == [third, closed]


async def test_only_changed_steps_are_written(
    cases: RefundCaseStore, stores: StoresFixture
) -> None:
    case = await cases.open(new_case(1, "Q1"))
    rows = stores.rows("refund_cases")
    await rows.update_one({"_id": "R1"}, {"$set": {"gifts.0.later": "version"}})
    equal_gifts = tuple(replace(gift) for gift in case.gifts)  # those of the plan at confirmation
    confirmed = replace(case.confirm("olga", "yes", AT), gifts=equal_gifts)
    confirmed = await cases.save(case, confirmed)
    reversed_ = confirmed.reverse_gift(1, 4, AT)
    saved = await cases.save(confirmed, reversed_)
    assert await cases.get("R1") == saved
    assert (saved.version, saved.gifts[1].owed) == (2, 6)
    row = await rows.find_one({"_id": "R1"})
    assert row
    assert row["gifts"][0]["later"] == "version"
    with pytest.raises(WriteConflict):
        await cases.save(confirmed, reversed_)
    fewer = replace(saved, gifts=saved.gifts[:1])
    await cases.save(saved, fewer)
    assert (await cases.get("R1")).gifts == fewer.gifts


async def test_a_case_is_due_while_it_is_in_progress(cases: RefundCaseStore) -> None:
    case = await cases.open(new_case(1, "Q1"))
    assert await cases.claim(MINUTE) is None
    case = await cases.save(case, case.confirm("olga", "yes", AT))
    claimed = await cases.claim(MINUTE)
    assert claimed
    assert replace(claimed, due_at=AT) == case
    await cases.save(case, replace(case, state="closed", due_at=AT))
    assert await cases.claim(MINUTE) is None


async def test_gifts_of_open_cases_are_known(cases: RefundCaseStore, stores: StoresFixture) -> None:
    async def known(user_id: str = "anna") -> set[str]:
        return await stores.ledger.run_transaction(lambda tx: cases.gifts_in_progress(user_id, tx))

    case = await cases.open(new_case(1, "Q1"))
    assert await known() == set()
    case = await cases.save(case, case.confirm("olga", "yes", AT))
    case = await cases.save(case, case.skip_gift(0, AT))
    assert await known() == {"gift:anna:1", "gift:anna:2"}
    assert await known("bert") == set()


async def test_cases_are_listed_newest_first_and_counted(cases: RefundCaseStore) -> None:
    assert await cases.open_counts() == ({}, {}, {})
    for number, user_id in enumerate(("anna", "bert", "anna"), 1):
        case = new_case(number, f"Q{number}", user_id=user_id)
        if number == 3:
            await cases.open(case)
        else:
            case = await cases.open(replace(case, gifts=()))
            case = await cases.save(case, case.confirm("olga", "yes", AT + number * MINUTE))
            await cases.save(case, case.note_problem(f"Q{number}", "pay_away", AT))
    figures = await cases.open_counts()
    assert figures.states == {"opened": 1, "refunding": 2}
    assert figures.oldest == {"refunding": AT + MINUTE}
    assert figures.problems == {"pay_away": 2}
    for user_id, state, ids in (("anna", "", ["R3", "R1"]), ("anna", "opened", ["R3"])):
        assert [
            case.id for case in (await cases.page("", 10, user_id=user_id, state=state))[0]
        ] == ids
    first, cursor = await cases.page("", 2)
    assert cursor
    assert (first[0].gifts, first[0].gold) == ((), 60)
    rest, end = await cases.page(cursor, 2)
    assert ([case.id for case in (*first, *rest)], end) == (["R3", "R2", "R1"], None)
