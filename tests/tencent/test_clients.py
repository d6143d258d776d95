import pytest

from config.settings import Settings
from ledger.recharge import Order
from tencent.clients import TencentClients
from tencent.errors import ServiceUnavailable
from tests.support.tencent import ScriptedService, pay_settings

APP = "wx1"
ORDER = Order("Q1", "anna", "xpay", APP, "o1", "gold_60", fen=600, gold=60)


@pytest.fixture
def make_clients(io_loop):
    made = []

    def build(url="http://127.0.0.1:9", **pay):
        settings = {
            "wechat": {"api_base": url, "apps": {APP: {"secret": "secret"}}},
            "pay": {"api_base": url, "offer_id": "1", "app_key": "key", **pay},
        }
        clients = TencentClients(Settings.model_validate(settings), lambda *_: None)
        made.append(clients)
        return clients

    yield build
    for clients in made:
        io_loop.run_sync(clients.close)


async def test_every_client_has_connections_of_its_own(serve, make_clients):
    """A flood of logins at WeChat does not delay its payments."""
    clients = make_clients(serve(ScriptedService({"errcode": -1})))
    with pytest.raises(ServiceUnavailable) as failure:
        await clients.xpay.query(ORDER)
    assert failure.value.code == "wechat_away"
    states = [(service.name, service.state) for service in clients.services]
    assert states == [
        ("wechat", "unknown"),
        ("im", "unknown"),
        ("pay", "unknown"),
        ("xpay", "ok"),
    ]


async def test_only_a_merchant_sells_and_transfers(make_clients, transfer_vectors):
    without, clients = make_clients(), make_clients(**pay_settings(transfer_vectors))
    assert (without.jsapi, without.transfers) == (None, None)
    assert clients.jsapi
    assert clients.transfers.mchid == transfer_vectors["client_call"]["mchId"]
