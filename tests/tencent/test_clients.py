import asyncio
import json

import pytest

from config.sections import (
    AppSettings,
    ImSettings,
    LiveSettings,
    PaySettings,
    WechatSettings,
    WithdrawSettings,
)
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order
from ledger.transfers import TransferRequest
from tencent import service_client
from tencent.clients import TencentClients
from tencent.errors import ServiceUnavailable
from tests.support.tencent import pay_settings

APP = "wx1"
ORDER = Order("Q1", "anna", "xpay", APP, "o1", "gold_60", fen=600, gold=60)


class SlowLogins:
    """WeChat, whose logins get no answer while payments do."""

    def __init__(self) -> None:
        self.logins = 0
        self.release = asyncio.Event()

    async def __call__(self, request):
        content = {"access_token": "token", "expires_in": 7200}
        if request.path == "/sns/jscode2session":
            self.logins += 1
            await self.release.wait()
            content = {"errcode": 40029}
        elif request.path == "/xpay/query_order":
            content = {"order": {"order_id": "Q1", "order_fee": 600, "status": 2}}
        return SimulatorReply(200, {}, json.dumps(content).encode())


@pytest.fixture
def make_clients(io_loop):
    made = []

    def build(url="http://127.0.0.1:9", **pay):
        clients = TencentClients(
            WechatSettings(api_base=url, apps={APP: AppSettings(secret="secret")}),
            ImSettings(api_base=url, sdk_app_id=1, secret_key="key"),
            LiveSettings(api_base=url, secret_id="id", secret_key="key"),
            PaySettings(api_base=url, offer_id="1", app_key="key", **pay),
            WithdrawSettings(),
            "http://n",
            on_xpay_rejection=lambda *_: None,
        )
        made.append(clients)
        return clients

    yield build
    for clients in made:
        io_loop.run_sync(clients.close)


async def test_a_flood_of_logins_does_not_delay_a_payment(serve, make_clients, monkeypatch):
    monkeypatch.setattr(service_client, "MAX_CLIENTS", 3)
    monkeypatch.setattr(service_client, "MAX_QUEUED", 3)
    wechat = SlowLogins()
    clients = make_clients(serve(wechat))
    logins = [asyncio.create_task(clients.wechat.exchange(APP, f"{n}")) for n in range(10)]
    assert (await clients.xpay.query(ORDER)).fen == 600
    wechat.release.set()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert sum(isinstance(result, ServiceUnavailable) for result in results) == 4
    assert wechat.logins == 6


async def test_every_client_has_a_name_and_virtual_payment_is_named_as_wechat_in_errors(
    serve, scripted_service, make_clients
):
    clients = make_clients(serve(scripted_service({"errcode": -1})))
    assert [service.name for service in clients.services] == ["wechat", "im", "pay", "xpay"]
    with pytest.raises(ServiceUnavailable) as failure:
        await clients.xpay.query(ORDER)
    assert failure.value.code == "wechat_away"


async def test_a_merchant_sells_and_transfers_and_without_one_neither_is_possible(
    make_clients, transfer_vectors
):
    without = make_clients()
    assert (without.jsapi, without.transfers) == (None, None)
    clients = make_clients(**pay_settings(transfer_vectors))
    assert clients.jsapi
    assert clients.transfers.mchid == transfer_vectors["client_call"]["mchId"]
    body = json.loads(clients.transfers.body(TransferRequest("W1", APP, "o1", 100)).text)
    assert body["notify_url"] == "http://n/qlive_pay/transfer_notify/"
    assert body["transfer_scene_id"] == "1005"
