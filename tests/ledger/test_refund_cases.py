from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.errors import OrderNotSettleable
from ledger.recharge import Refund
from ledger.refund_cases import OPEN_STATES, RefundCase
from ledger.refund_plan import GiftStep, HostStep, OrderStep, RefundPlan

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ORDERS = tuple(
    OrderStep(f"Q{n}", "xpay", 600, 60, by_apple=n == 2, refund=f"R10{n}") for n in (1, 2)
)
GIFTS = tuple(GiftStep(f"gift:anna:{host}", AT, host, 40, 20) for host in ("bert", "carl"))
HOSTS = tuple(HostStep(host, 20, 20, 0, 0, 0) for host in ("bert", "carl"))
OPENED = RefundCase("R1", "one", "anna", "a minor", "pavel", AT, ORDERS, GIFTS, HOSTS, 30)
CONFIRMED = OPENED.confirm("olga", "seen", AT)


def reversed_case() -> RefundCase:
    case = CONFIRMED
    for position in case.waiting_gifts:
        case = case.reverse_gift(position, 20, AT)
    return case


def callback(number: int = 1) -> Refund:
    return Refund("xpay", f"Q{number}", f"wx-{number}", 600)


def test_a_case_sums_its_orders() -> None:
    assert (OPENED.gold, OPENED.fen, OPENED.uncovered) == (120, 1200, 10)
    assert replace(OPENED, unspent=60).uncovered == 0
    assert OPENED.asks_for("anna", ["Q2", "Q1"])
    assert not OPENED.asks_for("anna", ["Q1"])
    assert not OPENED.asks_for("bert", ["Q1", "Q2"])


def test_a_decision_names_its_operators() -> None:
    assert OPENED.operators == "pavel"
    assert CONFIRMED.operators == "pavel+olga"
    assert OPENED.confirm("pavel", "seen", AT).operators == "pavel"
    dropped = OPENED.drop("olga", "no proof", LATER)
    assert (dropped.state, dropped.decided_by, dropped.decision_reason, dropped.decided_at) == (
        *("dropped", "olga", "no proof", LATER),
    )
    assert dropped.state not in OPEN_STATES


def test_the_preview_counts_as_changed_when_other_steps_would_be_taken() -> None:
    plan = RefundPlan(ORDERS, GIFTS, (), 99)
    assert not OPENED.differs_from(plan)
    assert OPENED.differs_from(plan._replace(gifts=GIFTS[:1]))
    assert OPENED.differs_from(plan._replace(orders=(ORDERS[0], replace(ORDERS[1], fen=1))))
    assert OPENED.with_plan(plan) == replace(OPENED, hosts=(), unspent=99)


def test_gifts_are_reversed_before_any_provider_is_asked() -> None:
    assert [order.state for order in CONFIRMED.orders] == ["taken", "taken"]
    assert (CONFIRMED.state, CONFIRMED.orders_to_refund) == ("confirmed", [])
    assert CONFIRMED.waiting_gifts == [0, 1]
    case = CONFIRMED.reverse_gift(0, 5, AT)
    assert (case.state, case.orders_to_refund, case.waiting_gifts) == ("reversing", [], [1])
    assert (case.gifts[0].taken, case.gifts[0].owed) == (5, 15)
    case = case.skip_gift(1, AT)
    assert [gift.state for gift in case.gifts] == ["reversed", "already_reversed"]
    assert (case.state, case.waiting_gifts) == ("refunding", [])
    assert [order.number for order in case.orders_to_refund] == ["Q1"]


def test_a_stopped_host_is_resumed_after_the_last_of_the_gifts() -> None:
    case = CONFIRMED.mark_hosts(["bert"], AT, stopped=True)
    assert (case.is_stopped("bert"), case.is_stopped("carl")) == (True, False)
    assert case.hosts_to_resume == []
    case = case.reverse_gift(0, 20, AT)
    assert case.hosts_to_resume == ["bert"]
    assert not case.mark_hosts(["bert"], AT, stopped=False).is_stopped("bert")


def test_a_case_closes_when_every_order_is_refunded_and_no_host_is_stopped() -> None:
    case = CONFIRMED.apply(callback(2), AT).mark_hosts(["carl"], AT, stopped=True)
    assert case.state == "reversing", "a callback may come before the gifts are reversed"
    for position in case.waiting_gifts:
        case = case.reverse_gift(position, 20, AT)
    case = case.apply(callback(), LATER)
    assert (case.state, case.closed_at) == ("refunding", None)
    case = case.mark_hosts(["carl"], LATER, stopped=False)
    assert (case.state, case.closed_at) == ("closed", LATER)


@pytest.mark.parametrize(
    ("answer", "state", "problem"),
    [
        ("pending", "requested", ""),
        ("done", "refunded", ""),
        ("failed", "requested", "refund_failed"),
    ],
)
def test_the_providers_answer_replaces_a_problem(answer: str, state: str, problem: str) -> None:
    unclear = reversed_case().note_problem("Q1", "pay_away", AT)
    assert (unclear.orders[0].state, unclear.orders[0].problem) == ("taken", "pay_away")
    case = unclear.note_answer("Q1", answer, AT)
    assert (case.orders[0].state, case.orders[0].problem) == (state, problem)
    assert case.orders[1].state == "taken"
    assert unclear.apply(callback(), AT).orders[0].problem == ""


def test_a_case_without_a_step_that_we_can_take_waits_for_apple() -> None:
    for orders in (ORDERS[1:], ORDERS[:1]):
        case = replace(OPENED, gifts=(), hosts=(), orders=orders).confirm("olga", "seen", AT)
        if not orders[0].by_apple:
            assert case.orders_to_refund == list(case.orders)
            case = case.leave_to_apple("Q1", AT)
        waiting = case.wait(AT)
        assert (waiting.state, waiting.orders_to_refund) == ("refunding", [])
        assert (waiting.checks, waiting.due_at) == (1, AT + timedelta(minutes=1))
        assert waiting.apply(callback(int(orders[0].number[1:])), AT).state == "closed"


def test_an_order_is_settled_once_its_provider_needs_a_person() -> None:
    for case, number in ((CONFIRMED, "Q1"), (CONFIRMED, "Q2"), (reversed_case(), "Q1")):
        with pytest.raises(OrderNotSettleable):
            case.settle(number, "olga", "by bank transfer", AT)
    case = reversed_case().note_problem("Q1", "NOT_ENOUGH", AT)
    settled = case.settle("Q1", "olga", "by bank transfer", AT)
    order = settled.order("Q1")
    assert order
    assert (order.state, order.problem) == ("settled", "")
    assert (order.settled_by, order.settled_reason) == ("olga", "by bank transfer")
    assert (settled.state, settled.orders_to_refund) == ("refunding", [])
    for number in ("Q1", "Q3"):
        with pytest.raises(OrderNotSettleable):
            settled.settle(number, "olga", "again", AT)
    closed = settled.settle("Q2", "olga", "Apple has declined", LATER)
    assert (closed.state, closed.closed_at) == ("closed", LATER)
    late = closed.apply(callback(2), LATER + timedelta(days=1))
    assert (late.state, late.closed_at, late.orders[1].state) == ("closed", LATER, "refunded")


def test_a_case_that_waits_is_checked_after_1_5_and_15_minutes_and_then_hourly() -> None:
    case, minutes = CONFIRMED, list[float]()
    for _ in range(5):
        case = case.wait(AT)
        assert case.due_at
        minutes.append((case.due_at - AT).total_seconds() / 60)
    assert minutes == [1, 5, 15, 60, 60]
    assert case.skip_gift(0, AT).checks == 5
    same_state = CONFIRMED.skip_gift(0, AT).wait(AT)
    assert same_state.checks == 1
    refunding = same_state.skip_gift(1, AT)
    assert refunding.checks == 0
    assert refunding.wait(AT).note_problem("Q1", "pay_away", AT).checks == 1
