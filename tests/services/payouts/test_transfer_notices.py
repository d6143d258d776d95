"""Notices of WeChat Pay about transfers, many times each and in any order: one effect."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from devtools.simulator.simulator import Simulator
from ledger.transfers import TransferState
from storage.jobs.inbox import InboxMessage
from tencent.merchant import read_key
from tencent.notifications import FINISHED, TRANSFER, TRANSFERS, MerchantNotifications
from tests.support.notice_storm import REPETITIONS, Notice, NoticeStorm
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.withdrawal_fixture import WithdrawalFixture

NOTHING: Mapping[str, Any] = {}
FORGED = ("forged", "unsigned", "probe", "stale")
ALTERED: dict[str, dict[str, Any]] = {
    "amount": {"transfer_amount": 1_001},
    "payee": {"openid": "oAnother"},
    "merchant": {"mch_id": "1900000999"},
    "not_final": {"state": "TRANSFERING"},
    "bill": {"out_bill_no": "W202603011200000a1b2c3d4e5f60"},
}
"""Changes that make a signed notice wrong, by the reason of its refusal."""


class NoticeFixture(NoticeStorm):
    """Notices about withdrawals, signed as WeChat Pay's."""

    def __init__(
        self, withdrawals: WithdrawalFixture, simulator: Simulator, keys: dict[str, Any], now: Clock
    ) -> None:
        super().__init__(withdrawals.database)
        self.withdrawals = withdrawals
        self._mchid, self._now = keys["mchid"], now
        self._sent = simulator.merchant_api
        platform = keys["platform"]
        platform_keys = {platform["public_key_id"]: read_key(platform["public_key_pem"])}
        self._received = MerchantNotifications(
            self._mchid, platform_keys, keys["apiv3_key"], TRANSFERS
        )

    def notice(
        self, bill: str, state: str, mode: str = "once", changes: Mapping[str, Any] = NOTHING
    ) -> Notice:
        content = {
            "out_bill_no": bill,
            "transfer_bill_no": f"13300{bill}",
            "state": state,
            "mch_id": self._mchid,
            "transfer_amount": 1_000,
            "openid": self.withdrawals.user.openid,
            **({"fail_reason": "OVERDUE_CLOSE"} if state == "FAIL" else {}),
            **changes,
        }
        sent = self._sent.notification("", FINISHED, content, mode, original="mch_payment")
        parsed = self._received.read(sent.headers, sent.body, self._now())
        book = partial(self.withdrawals.process.transfers.book, parsed.event, parsed.ignored)
        message = InboxMessage(TRANSFER, parsed.id, "", sent.body.decode())
        return Notice(message, parsed.refused, book)

    def notices(self, bill: str, state: str) -> Iterable[Notice]:
        """Two genuine ones, and one of each kind that must have no effect."""
        yield from (self.notice(bill, state) for _ in range(2))
        yield from (self.notice(bill, state, mode) for mode in FORGED)
        yield from (self.notice(bill, state, changes=changes) for changes in ALTERED.values())


async def test_shuffled_late_forged_and_wrong_notices_have_one_effect(
    stores: StoresFixture, simulator: Simulator, merchant: dict[str, Any], clock: Clock
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    notices = NoticeFixture(fixture, simulator, merchant, clock)
    paid, returned = await fixture.submitted(100, "r1"), await fixture.submitted(100, "r2")
    fixture.bank.finish(paid.id, TransferState.SUCCESS)
    fixture.bank.finish(returned.id, TransferState.FAIL, "OVERDUE_CLOSE")
    await notices.receive_all(
        [
            *notices.notices(paid.id, "SUCCESS"),
            *notices.notices(returned.id, "FAIL"),
        ]
    )
    for id_, state in ((paid.id, "paid"), (returned.id, "returned")):
        assert (await fixture.stored(id_)).state == state
    assert Counter(await fixture.kinds()) == {"withdrawal": 2, "payout": 1, "return": 1}
    assert await fixture.income() == 900
    refused = {"sign": 4, "probe": 2, "stale": 2, "": 4} | dict.fromkeys(ALTERED, 2)
    assert notices.outcomes == {reason: n * REPETITIONS for reason, n in refused.items()}
    await fixture.check()


async def test_notices_that_contradict_each_other_have_one_effect(
    stores: StoresFixture, simulator: Simulator, merchant: dict[str, Any], clock: Clock
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    notices = NoticeFixture(fixture, simulator, merchant, clock)
    number = (await fixture.submitted()).id
    contradicting = [notices.notice(number, state) for state in ("SUCCESS", "FAIL", "CANCELLED")]
    await notices.receive_all(contradicting)
    ended = [kind for kind in await fixture.kinds() if kind != "withdrawal"]
    assert len(ended) == 1
    assert notices.outcomes["state"] > 0
    assert await fixture.income() == (900 if ended == ["payout"] else 1_000)
