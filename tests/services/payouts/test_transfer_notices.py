"""Notices of WeChat Pay about transfers, many times each and in any order: one effect."""

from collections import Counter
from functools import partial
from typing import Any

from ledger.transfers import Transfer, TransferState
from storage.jobs.inbox import InboxMessage
from tencent.transfers import TRANSFER
from tests.support.notice_storm import REPETITIONS, Notice, NoticeStorm
from tests.support.storage import StoresFixture
from tests.support.withdrawal_fixture import WithdrawalFixture
from tests.support.withdrawals import stated

WRONG: dict[str, dict[str, Any]] = {
    "amount": {"fen": 1_001},
    "payee": {"openid": "oAnother"},
    "bill": {"number": "W202603011200000a1b2c3d4e5f60"},
}
"""Changes that make a notice wrong, by the reason of its refusal."""


async def test_shuffled_late_forged_and_wrong_notices_have_one_effect(
    stores: StoresFixture,
) -> None:
    """The third withdrawal gets notices that contradict each other."""
    fixture, sent = await WithdrawalFixture.create(stores), list[Notice]()

    def send(transfer: Transfer, forged: str = "") -> None:
        message = InboxMessage(TRANSFER, f"{len(sent)}", "", "{}")
        book = partial(fixture.process.transfers.record, transfer, "")
        sent.append(Notice(message, forged, book))

    ids = [(await fixture.submitted(100, f"r{n}")).id for n in range(3)]
    ends = (TransferState.SUCCESS, TransferState.FAIL)
    for id_, state in (*zip(ids, ends, strict=False), *((ids[2], end) for end in ends)):
        genuine = stated(state, number=id_, openid=fixture.user.openid)
        for _ in range(2):
            send(genuine)
        send(genuine, "sign")
    for changes in WRONG.values():
        openid = fixture.user.openid
        send(stated(TransferState.SUCCESS, **{"number": ids[0], "openid": openid, **changes}))
    notices = NoticeStorm(fixture.database)
    await notices.receive_all(sent)
    states = [(await fixture.stored(id_)).state for id_ in ids]
    assert states[:2] == ["paid", "returned"]
    ended = "payout" if states[2] == "paid" else "return"
    assert Counter(await fixture.kinds()) == (
        Counter({"withdrawal": 3, "payout": 1, "return": 1}) + Counter([ended])
    )
    assert await fixture.income() == 800 + 100 * (ended == "return")
    refused = {reason: notices.outcomes[reason] for reason in ("sign", "state", *WRONG)}
    expected = {"sign": 4, "state": 2} | dict.fromkeys(WRONG, 1)
    assert refused == {reason: n * REPETITIONS for reason, n in expected.items()}
