import pytest

from config.settings import Settings
from ledger.recharge import Order
from tencent.clients import TencentClients
from tencent.errors import ServiceUnavailable
from tests.support.tencent import ScriptedService

APP = "wx1"
ORDER = Order("Q1", "anna", "xpay", APP, "o1", "gold_60", fen=600, gold=60)


async def test_every_client_has_connections_of_its_own(serve):
    """A flood of logins at WeChat does not delay its payments."""
    settings = {
        "wechat": {
            "api_base": serve(ScriptedService({"errcode": -1})),
            "apps": {APP: {"secret": "secret"}},
        },
        "pay": {"offer_id": "1", "app_key": "key"},
    }
    clients = TencentClients(Settings.model_validate(settings), lambda *_: None)
    with pytest.raises(ServiceUnavailable) as failure:
        await clients.xpay.query(ORDER)
    assert failure.value.code == "wechat_away"
    states = [(service.name, service.state) for service in clients.services]
    unused = [(name, "unknown") for name in ("wechat", "im", "pay")]
    assert states == [*unused, ("xpay", "ok")]
    await clients.close()
