"""Measures a month of bills with 20,000 orders: differences, time, memory and loop lag.

Run it with `python -m bench.bills`; it starts a MongoDB and the simulator.
"""

import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from bench.fanout.control import LoopMonitor, rss
from devtools.embedded_mongod import EmbeddedMongod
from ledger.recharge import Order
from storage.database import Database
from tencent.service_client import ServiceClient
from tests.support.bills import APP, NOON, BillFixture
from tests.support.storage import StoresFixture
from tests.support.tencent import VECTORS, responder_application

DAYS, ORDERS, REFUNDS, TRANSFERS = 30, 667, 20, 20
KINDS = ("missing_here", "missing_there", "other_amount", "other_state")
EACH = 1
"""Differences of each kind a day, of payments, refunds and transfers."""


async def fill_day(bills: BillFixture, day: datetime) -> Counter[tuple[str, str]]:
    """Make a day's bookings and bills with differences of each kind; returns their number."""
    rows = bills.stores.database.collection
    pay, made = bills.simulator.pay.paid, Counter[tuple[str, str]]()
    pay.clear()
    bills.simulator.refunds.refunds.clear()
    bills.simulator.transfers.bills.clear()
    bills.clock.now, name = day.timestamp(), f"{day:%m%d}"
    base = {"user_id": "10000001", "app_id": APP, "openid": "o1", "product": "", "gold": 60}
    orders, entries, cases, withdrawals = [], [], [], []
    stamp = f"{day:%Y-%m-%dT%H:%M:%S}+08:00"
    for n in range(ORDERS):
        number = f"Q{name}{n:05}"
        amount = {"total": 600}
        paid = {"transaction_id": f"42{name}{n:022}", "success_time": stamp, "amount": amount}
        pay[number] = {**paid, "appid": APP, "payer": {}, "out_trade_no": number}
        row = {"_id": number, **base, "provider": "jsapi", "fen": 600, "state": "paid"}
        orders.append({**row, "transaction": paid["transaction_id"], "paid_at": day})
    for n in range(REFUNDS):
        order = f"Q{name}{n:05}"
        number = f"R{name}{n:05}"
        bills.refund(Order(order, "", "jsapi", APP, "o1", "", 600, 60), number)
        entry = {"_id": f"reversal:jsapi:{number}", "kind": "reversal", "by": "olga", "at": day}
        content = {"reverses": f"recharge:{order}", "fen": 100, "gold": 10}
        entries.append({**entry, "lines": [], "content": content})
        step = {"number": order, "provider": "jsapi", "refund": number, "fen": 100}
        step |= {"state": "refunded", "by_apple": False}
        case = {"_id": f"C{number}", "request_id": number, "user_id": "10000001"}
        cases.append({**case, "state": "closed", "closed_at": day, "orders": [step]})
    for n in range(TRANSFERS):
        number = f"W{name}{n:05}"
        wechat = bills.transfer(number).wechat_number
        row = {"_id": number, "user_id": "10000001", "request_id": number, "fen": 1000}
        state = "returned" if n == 9 else "paid"
        withdrawals.append({**row, "state": state, "finished_at": day, "wechat_number": wechat})
    refund = {"商户订单号": "Q0", "交易状态": "REFUND", "商户退款单号": f"RX{name}"}
    changes: dict[str, Any] = {
        f"Q{name}00100": None,
        f"Q{name}00101": {"订单金额": "6.01"},
        f"Q{name}00102": {"交易状态": "REVOKED"},
        f"X{name}": {"订单金额": "6.00", "交易状态": "SUCCESS"},
        f"R{name}00000": None,
        f"R{name}00001": {"申请退款金额": "1.01"},
        f"R{name}00002": {"退款状态": "FAIL"},
        f"RX{name}": {**refund, "申请退款金额": "1.00"},
    }
    kind = {"业务名称": "商家转账", "收支类型": "支出", "收支金额(元)": "3.00"}
    transfers: dict[str, Any] = {
        f"W{name}00000": None,
        f"W{name}00001": {"收支金额(元)": "9.99"},
        f"WX{name}": kind,
    }  # beside the tenth, which was returned here
    bills.fault("trade", **changes)
    bills.fault("fund_operation", **transfers)
    await rows("orders").insert_many(orders)
    await rows("ledger").insert_many(entries)
    await rows("refund_cases").insert_many(cases)
    await rows("withdrawals").insert_many(withdrawals)
    for category in ("payment", "refund", "transfer"):
        made.update({(kind, category): EACH for kind in KINDS})
    return made


async def main() -> None:
    folder = tempfile.TemporaryDirectory(prefix="qlive-bills-")
    mongod = EmbeddedMongod(Path(folder.name))
    database = Database(await mongod.start(), "qlive_bills")
    rows = database.collection("bill_differences")
    stores = StoresFixture(database)
    await stores.make_indexes()
    merchant = json.loads((VECTORS / "wechatpay_v3.json").read_text("utf-8"))
    clients: list[ServiceClient] = []

    def serve(responder: Any) -> str:
        server = HTTPServer(responder_application(responder))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        return f"http://127.0.0.1:{port}/sim"

    def make_client(name: str, url: str) -> ServiceClient:
        clients.append(ServiceClient(name, url))
        return clients[-1]

    async def differences() -> Counter[tuple[str, str]]:
        found = await rows.find({"state": "open"}).to_list()
        return Counter((row["kind"], row["category"]) for row in found)

    bills, monitor = BillFixture(stores, merchant, serve, make_client), LoopMonitor()
    expected, seconds, memory = Counter[tuple[str, str]](), [], []
    watching = asyncio.create_task(monitor.watch())
    for n in range(DAYS):
        day = NOON + timedelta(days=n)
        expected.update(await fill_day(bills, day))
        started = time.perf_counter()
        await bills.service.reconcile(day.date().isoformat())
        seconds.append(time.perf_counter() - started)
        memory.append(rss() / 1e6)
    first = await differences()
    monitor.worst_ms = 0.0
    for source in ("trade", "fund_operation"):
        bills.fault(source, "late")
    for n in range(DAYS):  # again, from the kept files
        await bills.service.reconcile((NOON + timedelta(days=n)).date().isoformat())
    again = await differences()
    watching.cancel()
    print(f"{DAYS} days, {DAYS * ORDERS} orders; expected {sum(expected.values())} differences")
    print(f"found {sum(first.values())}, as expected: {first == expected}; again: {again == first}")
    print(f"seconds a day: median {sorted(seconds)[DAYS // 2]:.2f}, most {max(seconds):.2f}")
    print("MB after days 1, 10, 20, 30:", *(f"{memory[n]:.0f}" for n in (0, 9, 19, 29)))
    print(f"loop blocked at most {monitor.worst_ms:.0f} ms")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    for client in clients:
        await client.close()
    await database.close()
    await mongod.stop()
    folder.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
