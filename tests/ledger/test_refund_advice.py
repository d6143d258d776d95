from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ledger.refund_advice import (
    NAMED_LIVES,
    SUGGEST_REFUND,
    SUGGEST_REFUSAL,
    Credit,
    GoldGift,
    RefundAdvice,
    advise,
    spent_of,
)

AT = datetime(2026, 3, 2, 12, 14, 7, tzinfo=UTC)


def credit(gold: int = 600, before: int = 0) -> Credit:
    return Credit("T1", gold, AT, before)


def gifts(*amounts: int, live_id: int = 18, epoch: str = "ab") -> list[GoldGift]:
    """Gifts a minute apart, the first a minute after the recharge."""
    return [
        GoldGift(AT + timedelta(minutes=n), gold, live_id, epoch)
        for n, gold in enumerate(amounts, 1)
    ]


def advice(credit: Credit | None, given: Sequence[GoldGift], reversed_fen: int = 0) -> RefundAdvice:
    return advise("T1", credit, given, reversed_fen, fen=6000)


@pytest.mark.parametrize(
    ("before", "amounts", "spent"),
    [
        (0, (), []),
        (0, (100, 200), [100, 200]),
        (0, (500, 200, 50), [500, 100]),
        (150, (100, 100, 700), [50, 550]),
        (1000, (600, 400), []),
    ],
)
def test_gold_from_before_is_spent_first_and_later_gold_last(
    before: int, amounts: tuple[int, ...], spent: list[int]
) -> None:
    assert [gift.gold for gift in spent_of(credit(before=before), gifts(*amounts))] == spent


@pytest.mark.parametrize(
    ("found", "given", "reversed_fen", "info", "evidence"),
    [
        (None, [], 0, "未交付", "：账本中没有入账记录，金币未交付。"),
        (None, [], 6000, "未交付", "：账本中没有入账记录，金币未交付。"),
        (credit(), [], 0, "已交付，未消费", "：2026-03-02 20:14:07到账600金币，至今未消费。"),
        (
            credit(),
            gifts(600),
            6000,
            "已交付，已收回",
            "：2026-03-02 20:14:07到账600金币，金币此后已收回。",
        ),
    ],
)
def test_gold_that_is_not_spent_or_was_taken_back_suggests_a_refund(
    found: Credit | None, given: list[GoldGift], reversed_fen: int, info: str, evidence: str
) -> None:
    assert advice(found, given, reversed_fen) == (SUGGEST_REFUND, info, f"订单T1{evidence}")


def test_spent_gold_names_when_and_in_which_live() -> None:
    given = [*gifts(100, 200), *gifts(50, live_id=0, epoch="")]
    found = advice(credit(), given)
    assert found == (
        SUGGEST_REFUSAL,
        "已交付，已部分消费",
        "订单T1：2026-03-02 20:14:07到账600金币，已送礼消费350金币："
        "2026-03-02 20:15:07至2026-03-02 20:16:07在直播间18（场次ab）送礼2次共300金币；"
        "2026-03-02 20:15:07在直播间外送礼1次共50金币。",
    )
    fully = advice(credit(), gifts(600), reversed_fen=5999)
    assert (fully.result_code, fully.result_info) == (SUGGEST_REFUSAL, "已交付，已全部消费")


def test_evidence_names_a_limited_number_of_lives() -> None:
    given = [gift for n in range(1, NAMED_LIVES + 3) for gift in gifts(10, live_id=n)]
    evidence = advice(credit(), given).evidence
    assert f"直播间{NAMED_LIVES}（" in evidence
    assert f"直播间{NAMED_LIVES + 1}（" not in evidence
    assert evidence.endswith("；另有2场。")
