"""Facts from the journal about a recharge whose refund Apple asks about.

Gold is spent in the order in which it was credited: what the user had before this recharge goes
first, later recharges go last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from core.clock import CHINA_TZ

SUGGEST_REFUND, SUGGEST_REFUSAL = 0, 1
"""`result_code` of the answer. Source: WeChat, "virtual payment on iOS"."""
NAMED_LIVES = 5
"""Maximum number of lives that the evidence names, which keeps it readable."""


@dataclass(frozen=True, slots=True)
class Credit:
    """A recharge as the journal has it; `gold_before` is the buyer's gold before it."""

    order: str
    gold: int
    at: datetime
    gold_before: int


@dataclass(frozen=True, slots=True)
class GoldGift:
    """`gold` that a gift took from its sender, in a live; `live_id` is 0 outside of rooms."""

    at: datetime
    gold: int
    live_id: int = 0
    epoch: str = ""


class RefundAdvice(NamedTuple):
    """The answer to Apple's question, in the words that WeChat expects."""

    result_code: int
    result_info: str
    evidence: str


def spent_of(credit: Credit, gifts: Sequence[GoldGift]) -> list[GoldGift]:
    """Return the gifts that spent this recharge, oldest first.

    Each has the gold that came from the recharge. `gifts` are those given since the recharge,
    oldest first, without reversed ones.
    """
    older, left, spent = credit.gold_before, credit.gold, list[GoldGift]()
    for gift in gifts:
        from_older = min(older, gift.gold)
        gold = min(left, gift.gold - from_older)
        older, left = older - from_older, left - gold
        if gold:
            spent.append(GoldGift(gift.at, gold, gift.live_id, gift.epoch))
        if not left:
            break
    return spent


def advise(
    order: str, credit: Credit | None, gifts: Sequence[GoldGift], reversed_fen: int, fen: int
) -> RefundAdvice:
    """Advise on the refund of an order of `fen`, of which `reversed_fen` were reversed before.

    Their gold was taken back, by WeChat's refund or by a refund case. Spent gold is the only reason
    to advise against a refund: unspent gold can be taken back.
    """
    if credit is None:
        return RefundAdvice(
            SUGGEST_REFUND, "未交付", f"订单{order}：账本中没有入账记录，金币未交付。"
        )
    credited = f"订单{order}：{_time(credit.at)}到账{credit.gold}金币"
    if reversed_fen >= fen:
        return RefundAdvice(SUGGEST_REFUND, "已交付，已收回", f"{credited}，金币此后已收回。")
    spent = spent_of(credit, gifts)
    if not spent:
        return RefundAdvice(SUGGEST_REFUND, "已交付，未消费", f"{credited}，至今未消费。")
    total = sum(gift.gold for gift in spent)
    info = "已交付，已全部消费" if total == credit.gold else "已交付，已部分消费"
    return RefundAdvice(SUGGEST_REFUSAL, info, f"{credited}，{_spending(spent)}")


def _spending(spent: Sequence[GoldGift]) -> str:
    total = sum(gift.gold for gift in spent)
    lives = dict[tuple[int, str], list[GoldGift]]()
    for gift in spent:
        lives.setdefault((gift.live_id, gift.epoch), []).append(gift)
    parts = [_in_live(live_id, epoch, gifts) for (live_id, epoch), gifts in lives.items()]
    named = "；".join(parts[:NAMED_LIVES])
    more = f"；另有{len(parts) - NAMED_LIVES}场" if len(parts) > NAMED_LIVES else ""
    return f"已送礼消费{total}金币：{named}{more}。"


def _in_live(live_id: int, epoch: str, gifts: Sequence[GoldGift]) -> str:
    where = f"直播间{live_id}（场次{epoch}）" if live_id else "直播间外"
    first, last = _time(gifts[0].at), _time(gifts[-1].at)
    when = first if first == last else f"{first}至{last}"
    return f"{when}在{where}送礼{len(gifts)}次共{sum(gift.gold for gift in gifts)}金币"


def _time(at: datetime) -> str:
    return at.astimezone(CHINA_TZ).strftime("%Y-%m-%d %H:%M:%S")
