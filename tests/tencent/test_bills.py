"""Bills of WeChat: files of the forms that are known, and those that have to be refused."""

import gzip

import pytest

from config.sections import WechatSettings
from ledger.bills import Movement
from tencent import bills
from tencent.bills import BillClient, BillNotReady, UnreadableBill, read_bill, unpack
from tests.support.tencent import VECTORS, ScriptedService

WECHAT = [f"{n:020}" for n in range(42000000000000000001, 42000000000000000004)]
REFUNDS = ["50300000000000000001", "50300000000000000002"]
TRANSFER = "1330001424260332506300083551658036"


def file(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def test_a_trade_bill_has_payments_refunds_and_what_was_not_paid():
    assert read_bill(gzip.compress(file("bill_trade.csv")), "trade") == [
        Movement("payment", "T1", 600, "done", WECHAT[0]),
        Movement("refund", "R1", 1, "done", REFUNDS[0], "T1"),
        Movement("refund", REFUNDS[1], 3000, "done", REFUNDS[1], "T2"),
        Movement("payment", "T3", 100, "failed", WECHAT[2]),
    ]


def test_a_bill_of_an_old_account_has_fewer_columns():
    assert read_bill(file("bill_trade_24_columns.csv"), "trade") == [
        Movement("payment", "T1", 600, "done", WECHAT[0]),
        Movement("refund", "R1", 600, "failed", REFUNDS[0], "T1"),
    ]


def test_a_fund_flow_has_transfers_and_whatever_has_no_known_name():
    """The first transfer came back on the same day."""
    assert read_bill(file("bill_fund.csv"), "fund_operation") == [
        Movement("transfer", "W1", 1000, "failed", TRANSFER),
        Movement("transfer", f"{TRANSFER[:-1]}7", 200, "done", f"{TRANSFER[:-1]}7"),
    ]


def test_a_second_payment_of_an_order_is_a_row_of_its_own():
    line = file("bill_trade.csv").split(b"\r\n")[1]
    second = line.replace(WECHAT[0].encode(), b"42")
    content = file("bill_trade.csv").replace(line, line + b"\r\n" + second + b"\r\n" + line)
    first, other, *_ = read_bill(content, "trade")
    assert (first.wechat_number, other) == (WECHAT[0], first._replace(wechat_number="42"))
    assert len(read_bill(content, "trade")) == len(read_bill(file("bill_trade.csv"), "trade")) + 1


def test_a_bill_of_virtual_payment_needs_numbers_and_sums_and_apples_only_numbers():
    content = "时间,商户单号,支付金额（元）,商户退款单号\n1,Q1,6.00,\n\n2,Q2,6.00,R2\n".encode()
    rows = [Movement("payment", "Q1", 600), Movement("refund", "R2", None, order="Q2")]
    assert read_bill(content, "xpay") == rows
    content = content.replace("支付金额（元）".encode(), b"net")
    assert read_bill(content, "ios") == [row._replace(fen=None) for row in rows]
    with pytest.raises(UnreadableBill, match="no column for fen"):
        read_bill(content, "xpay")


@pytest.mark.parametrize(
    ("change", "source", "why"),
    [
        ((b"", b""), "fund_basic", "no column for name"),
        (("商户订单号".encode(), b"?"), "trade", "no column for number"),
        (("订单金额".encode(), b"?"), "trade", "no column for fen"),
        ((b"`0.60%,", b""), "trade", "line 2: 26 columns instead of 27"),
        ((b"`6.00,`0.00", b"`6.001,`0.00"), "trade", "line 2: no amount"),
        ((b"`6.00,`0.00", b"`six,`0.00"), "trade", "line 2: no amount"),
        ((b"`6.00,`0.00", b"`1E+99999999999,`0.00"), "trade", "line 2: no amount"),
        ((b"`T1,", b"`,"), "trade", "line 2: no number"),
        ((b"\xef", b"\xff"), "trade", "no UTF-8"),
        ((None, b""), "xpay", "no column for fen, number"),
    ],
)
def test_a_bill_that_is_not_understood_is_refused_as_a_whole(change, source, why):
    old, new = change
    content = file("bill_trade.csv").replace("应结".encode(), b"-") if old is not None else b""
    if b"T1" in (old or b""):
        content = content.replace(WECHAT[0].encode(), b"", 1)
    with pytest.raises(UnreadableBill, match=why):
        read_bill(content.replace(old, new) if old else content + new, source)


def test_why_a_bill_is_not_understood_has_no_row_of_a_file_without_header():
    openid, cut = b"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", file("bill_trade.csv").replace(b"oUser1", b"%s")
    with pytest.raises(UnreadableBill) as refused:
        read_bill(cut.split(b"\r\n", 1)[1].replace(b"%s", openid), "trade")
    assert "JSAPI" in str(refused.value)
    assert openid.decode() not in str(refused.value)


def test_a_file_that_is_cut_or_grows_too_long_is_refused(monkeypatch):
    packed = gzip.compress(bytes(1000))
    assert unpack(packed) == bytes(1000)
    for damaged in (packed[:-9], packed[:4] + packed[:20], packed + packed):
        with pytest.raises(UnreadableBill, match="damaged"):
            unpack(damaged)
    monkeypatch.setattr(bills, "MAX_BYTES", 999)
    with pytest.raises(UnreadableBill, match="too_long"):
        unpack(packed)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"errcode": 268490011}, "268490011"),
        ({"errcode": 0, "url": ""}, "STATEMENT_CREATING"),
        ({"bill_list": [{"month": "202610", "bill_url": "http://a"}, 1]}, "STATEMENT"),
        ({"errcode": 0, "url": "https://elsewhere.example.com/bill"}, "STATEMENT_CREATING"),
        ({"errcode": 0, "url": "http://[x"}, "address"),
    ],
)
async def test_a_bill_of_virtual_payment_without_a_usable_address_is_not_ready(
    serve, build_xpay, make_service_client, answer, code
):
    token = {"access_token": "T", "expires_in": 7200}
    service = ScriptedService(token, answer)
    url = serve(service)
    wechat = WechatSettings(api_base=url, apps={"wxd678efh567hg6787": {"secret": "s3cret"}})
    client = BillClient(None, build_xpay(url), make_service_client("files", ""), wechat)
    for source, period in (("xpay", "2026-11-27"), ("ios", "2026-11")):
        with pytest.raises(BillNotReady, match=code):
            await client.fetch(source, period)
