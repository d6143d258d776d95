"""The simulated transfers, through the client of the server, whose wire the vectors prove."""

import json
from dataclasses import replace

import pytest

from config.sections import PaySettings, WithdrawSettings
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.transfers import TransferBody, TransferRequest, TransferState
from tencent.errors import MerchantRefused
from tencent.merchant import MerchantClient
from tencent.transfers import TransferClient
from tests.support.tencent import ScriptedService, pay_settings

NUMBER = "W20231115000000a00"
REQUEST = TransferRequest(NUMBER, "wxd678efh567hg6787", openid_of("hongniang1"), 15_000)


@pytest.fixture
def receiver():
    """Receives the notifications."""
    return ScriptedService(SimulatorReply(204, {}, b""))


@pytest.fixture
def client(sim_url, serve, receiver, merchant, make_service_client, clock, monkeypatch):
    monkeypatch.setattr("devtools.simulator.transfers.CANCEL_SECONDS", 0)
    pay = PaySettings(**pay_settings(merchant))
    api = MerchantClient(make_service_client("pay", sim_url), pay, now=clock)
    return TransferClient(api, serve(receiver), WithdrawSettings())


@pytest.fixture
def call(simulator):
    async def send(path, **params):
        """POST to one of the simulator's own endpoints."""
        body = json.dumps(params).encode()
        request = SimulatorRequest("POST", f"/transfer/{path}", body=body)
        return json.loads((await simulator.answer(request)).body)

    return send


@pytest.fixture
def notifications(simulator, client, receiver, clock):
    async def read():
        await simulator.delivery.quiet()
        parse = client.notifications.read
        return [parse(request.headers, request.body, clock()) for request in receiver.requests]

    return read


async def test_bill_is_confirmed_by_its_user_once_and_an_unclear_confirmation_again(
    client, call, notifications
):
    await client.create(client.body(REQUEST))
    assert (await call("confirm", bill=NUMBER, openid=openid_of("bert")))["why"] == "openid"
    await call("confirm", bill=NUMBER, outcome="pending")
    assert (await client.query(NUMBER)).state == TransferState.TRANSFERING
    with pytest.raises(MerchantRefused, match="INVALID_REQUEST"):
        await client.cancel(NUMBER)
    assert await notifications() == []
    await call("confirm", bill=NUMBER, outcome="failed", reason="REAL_NAME_CHECK_FAIL")
    (notification,) = await notifications()
    # WeChat names the app in the answer to a query only.
    assert replace(notification.event, app_id=REQUEST.app_id) == await client.query(NUMBER)
    assert notification.event.fail_reason == "REAL_NAME_CHECK_FAIL"
    assert (await call("confirm", bill=NUMBER))["why"] == "package"
    assert "detail" in await call("expire", bill=NUMBER)


async def test_bill_expires_on_demand_and_a_cancelled_one_is_cancelled_a_moment_later(
    client, call, notifications
):
    expired = replace(REQUEST, number=f"{NUMBER}1")
    for request in (REQUEST, expired):
        await client.create(client.body(request))
    await call("expire", bill=expired.number, report="never")
    assert (await client.query(expired.number)).state == TransferState.FAIL
    assert (await client.cancel(NUMBER)).state == TransferState.CANCELING
    (notification,) = await notifications()
    assert notification.event.state == TransferState.CANCELLED
    assert (await client.cancel(NUMBER)).state == TransferState.CANCELLED
    with pytest.raises(MerchantRefused, match="NOT_FOUND"):
        await client.cancel("W2")


async def test_bill_without_money_is_kept_until_the_same_request_comes_again(client, call):
    body = client.body(REQUEST)
    await call("fault", fault="NOT_ENOUGH")
    with pytest.raises(MerchantRefused, match="NOT_ENOUGH"):
        await client.create(body)
    assert (await client.query(NUMBER)).state == TransferState.PROCESSING
    with pytest.raises(MerchantRefused, match="INVALID_REQUEST"):
        await client.create(client.body(replace(REQUEST, fen=15_001)))
    created = await client.create(body)
    assert created.state == TransferState.WAIT_USER_CONFIRM
    assert await client.create(body) == created
    assert created.package
    assert (await client.query(NUMBER)).package == ""


async def test_name_and_amount_are_checked(client, simulator):
    named = replace(REQUEST, fen=200_000, real_name="张三")
    content = json.loads(client.body(named).text)
    unnamed = json.loads(client.body(replace(named, real_name="")).text)
    for wrong in (
        unnamed,
        {**content, "transfer_amount": 29},
        {**content, "appid": "wx1"},
        {**unnamed, "transfer_amount": 9},
        {**content, "user_name": "5byg5LiJ"},
    ):
        with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
            await client.create(TransferBody(json.dumps(wrong)))
    assert simulator.transfers.bills == {}
    await client.create(client.body(named))
    assert simulator.transfers.bills[NUMBER].name == "张三"
