"""The simulated transfers, through the client of the server, whose wire the vectors prove."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA

from config.sections import PaySettings, WithdrawSettings
from core.errors import RateLimited
from devtools.simulator.simulator import Simulator
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.transfers import Transfer, TransferBody, TransferRequest, TransferState
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.json_reader import ParsedCallback
from tencent.merchant import MerchantClient
from tencent.transfers import TransferClient
from tests.support.tencent import Clock, ScriptedService, Serve

NUMBER = "W20231115000000a00"
REQUEST = TransferRequest(NUMBER, "wxd678efh567hg6787", openid_of("hongniang1"), 15_000)


class Wallet:
    """A client, the phone's side of the simulator, and the notifications that arrive."""

    def __init__(
        self,
        simulator: Simulator,
        client: TransferClient,
        receiver: ScriptedService,
        clock: Clock,
    ) -> None:
        self.simulator = simulator
        self.client = client
        self._receiver = receiver
        self._clock = clock

    async def call(self, path: str, **params: Any) -> dict[str, Any]:
        """POST, or GET without parameters, to one of the simulator's own endpoints."""
        method, body = ("POST", json.dumps(params).encode()) if params else ("GET", b"")
        request = SimulatorRequest(method, f"/transfer/{path}", {}, {}, body)
        answer: dict[str, Any] = json.loads((await self.simulator.answer(request)).body)
        return answer

    async def notices(self) -> list[ParsedCallback[Transfer]]:
        await self.simulator.delivery.quiet()
        read, now = self.client.notifications.read, self._clock()
        return [read(it.headers, it.body, now) for it in self._receiver.requests]


@pytest.fixture
def make_wallet(
    simulator: Simulator,
    sim_url: str,
    serve: Serve,
    merchant: dict[str, Any],
    make_service_client: Callable[..., Any],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Wallet]:
    monkeypatch.setattr("devtools.simulator.transfers.CANCEL_SECONDS", 0)
    monkeypatch.setattr("devtools.simulator.notifications.LATE_SECONDS", 0)
    monkeypatch.setattr("devtools.simulator.notifications.RETRY_DELAY_SECONDS", 0)

    def build(*statuses: int) -> Wallet:
        replies = [SimulatorReply(status, {}, b"") for status in statuses or (204,)]
        receiver, platform = ScriptedService(*replies), merchant["platform"]
        pay = PaySettings(
            mchid=merchant["mchid"],
            serial_no=merchant["merchant"]["serial_no"],
            private_key=merchant["merchant"]["private_key_pem"],
            public_key_id=platform["public_key_id"],
            public_key=platform["public_key_pem"],
            apiv3_key=merchant["apiv3_key"],
        )
        api = MerchantClient(make_service_client("pay", sim_url), pay, now=clock)
        client = TransferClient(api, serve(receiver), WithdrawSettings())
        return Wallet(simulator, client, receiver, clock)

    return build


@pytest.fixture
def wallet(make_wallet: Callable[..., Wallet]) -> Wallet:
    return make_wallet()


async def test_confirmed_bill_is_paid_once_and_notified(wallet: Wallet) -> None:
    client = wallet.client
    created = await client.create(client.body(REQUEST))
    assert created.state == TransferState.WAIT_USER_CONFIRM
    waiting = await client.query(NUMBER)
    assert waiting
    assert (waiting.state, waiting.fen, waiting.package) == (created.state, 15_000, "")
    confirmed = await wallet.call("confirm", package=created.package)
    assert confirmed == {"outcome": "success", "bill": NUMBER, "why": ""}
    again = await wallet.call("confirm", package=created.package)
    assert again == {"outcome": "failed", "bill": None, "why": "package"}
    (notice,) = await wallet.notices()
    paid = await client.query(NUMBER)
    assert notice.event == paid
    assert paid
    assert paid.state == TransferState.SUCCESS
    shown = await wallet.call("bills")
    assert shown["paid_fen"] == 15_000
    assert shown["items"][0]["openid"] == REQUEST.openid


async def test_same_body_gets_the_same_answer_and_another_body_none(wallet: Wallet) -> None:
    client = wallet.client
    body = client.body(REQUEST)
    assert await client.create(body) == await client.create(body)
    for other in (
        client.body(replace(REQUEST, fen=15_001)),
        TransferBody(body.text.replace("{", "{ ", 1)),
    ):
        with pytest.raises(MerchantRefused, match="INVALID_REQUEST"):
            await client.create(other)
    assert len(wallet.simulator.transfers.bills) == 1


async def test_refusals_without_a_signature_are_understood(wallet: Wallet) -> None:
    wallet.simulator.merchant_api.signs_refusals = False
    wallet.simulator.transfers.faults["NOT_ENOUGH"] = 1
    assert await wallet.client.query(NUMBER) is None
    body = wallet.client.body(REQUEST)
    with pytest.raises(MerchantRefused, match="NOT_ENOUGH"):
        await wallet.client.create(body)
    assert (await wallet.client.create(body)).state == TransferState.WAIT_USER_CONFIRM


async def test_only_the_payee_confirms(wallet: Wallet) -> None:
    created = await wallet.client.create(wallet.client.body(REQUEST))
    refused = await wallet.call("confirm", package=created.package, openid=openid_of("bert"))
    assert refused["why"] == "openid"
    accepted = await wallet.call("confirm", package=created.package, openid=REQUEST.openid)
    assert accepted["outcome"] == "success"


async def test_unclear_confirmation_is_confirmed_again_or_fails(wallet: Wallet) -> None:
    client = wallet.client
    await client.create(client.body(REQUEST))
    await wallet.call("confirm", bill=NUMBER, outcome="pending")
    pending = await client.query(NUMBER)
    assert pending
    assert pending.state == TransferState.TRANSFERING
    with pytest.raises(MerchantRefused, match="INVALID_REQUEST"):
        await client.cancel(NUMBER)
    assert await wallet.notices() == []
    await wallet.call("confirm", bill=NUMBER, outcome="failed", reason="REAL_NAME_CHECK_FAIL")
    (notice,) = await wallet.notices()
    assert notice.event
    assert notice.event.fail_reason == "REAL_NAME_CHECK_FAIL"


# ---- cancelled and expired


async def test_cancelled_bill_is_cancelled_a_moment_later(wallet: Wallet) -> None:
    client = wallet.client
    created = await client.create(client.body(REQUEST))
    assert (await client.cancel(NUMBER)).state == TransferState.CANCELING
    refused = await wallet.call("confirm", package=created.package)
    assert refused["outcome"] == "failed"
    (notice,) = await wallet.notices()
    assert notice.event
    assert notice.event.state == TransferState.CANCELLED
    assert (await client.cancel(NUMBER)).state == TransferState.CANCELLED
    assert len(await wallet.notices()) == 1
    with pytest.raises(MerchantRefused, match="NOT_FOUND"):
        await client.cancel("W2")


async def test_bill_expires_at_once_on_demand(wallet: Wallet) -> None:
    client = wallet.client
    await client.create(client.body(REQUEST))
    assert (await wallet.call("expire", bill=NUMBER, report="never"))["outcome"] == "success"
    closed = await client.query(NUMBER)
    assert closed
    assert closed.state == TransferState.FAIL
    assert await wallet.notices() == []
    assert "detail" in await wallet.call("expire", bill=NUMBER)


# ---- faults


async def test_bill_without_money_is_kept_until_the_same_request_comes_again(
    wallet: Wallet,
) -> None:
    client = wallet.client
    body = client.body(REQUEST)
    await wallet.call("fault", fault="NOT_ENOUGH", times=2)
    for _ in range(2):
        with pytest.raises(MerchantRefused, match="NOT_ENOUGH"):
            await client.create(body)
        kept = await client.query(NUMBER)
        assert kept
        assert kept.state == TransferState.PROCESSING
    assert (await client.create(body)).state == TransferState.WAIT_USER_CONFIRM


async def test_request_that_comes_too_fast_is_not_taken(wallet: Wallet) -> None:
    client = wallet.client
    await wallet.call("fault", fault="FREQUENCY_LIMITED", times=2)
    with pytest.raises(RateLimited):
        await client.create(client.body(REQUEST))
    with pytest.raises(RateLimited):
        await client.query(NUMBER)
    assert await client.query(NUMBER) is None


async def test_bill_is_taken_though_its_answer_is_lost(wallet: Wallet) -> None:
    client = wallet.client
    await wallet.call("fault", fault="lost")
    body = client.body(REQUEST)
    with pytest.raises(ServiceUnavailable):
        await client.create(body)
    taken = await client.query(NUMBER)
    assert taken
    assert (taken.state, taken.package) == (TransferState.WAIT_USER_CONFIRM, "")
    assert (await client.create(body)).package  # the query never has it
    assert len(wallet.simulator.transfers.bills) == 1


async def test_bill_may_be_accepted_first(wallet: Wallet) -> None:
    client = wallet.client
    body = client.body(REQUEST)
    await wallet.call("fault", fault="accepted")
    accepted = await client.create(body)
    assert (accepted.state, accepted.package) == (TransferState.ACCEPTED, "")
    assert (await client.create(body)).package


# ---- what WeChat Pay refuses


def body_of(content: dict[str, Any]) -> TransferBody:
    return TransferBody(json.dumps(content))


async def test_real_name_is_checked(wallet: Wallet, merchant: dict[str, Any]) -> None:
    client = wallet.client
    named = replace(REQUEST, fen=200_000, real_name="张三")
    with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
        await client.create(client.body(replace(named, real_name="")))
    content = json.loads(client.body(named).text)
    key = RSA.import_key(merchant["platform"]["public_key_pem"])
    sealed = PKCS1_OAEP.new(key, hashAlgo=SHA256).encrypt("张三".encode())
    with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
        await client.create(body_of({**content, "user_name": base64.b64encode(sealed).decode()}))
    with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
        await client.create(body_of({**content, "transfer_amount": 29}))
    await client.create(client.body(named))
    assert wallet.simulator.transfers.bills[NUMBER].name == "张三"


@pytest.mark.parametrize(
    "change",
    [
        {"appid": "wx1"},
        {"transfer_amount": 9},
        {"user_name": "5byg5LiJ"},
    ],
)
async def test_invalid_field_is_a_parameter_error(wallet: Wallet, change: dict[str, Any]) -> None:
    content = json.loads(wallet.client.body(REQUEST).text)
    with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
        await wallet.client.create(body_of({**content, **change}))
    assert wallet.simulator.transfers.bills == {}


# ---- notifications


@pytest.mark.parametrize(
    ("mode", "refused"),
    [
        ("once", [""]),
        ("late", [""]),
        ("twice", ["", ""]),
        ("never", []),
        ("forged", ["sign"]),
        ("unsigned", ["sign"]),
        ("probe", ["probe"]),
        ("stale", ["stale"]),
        ("wrong_amount", [""]),
        ("wrong_bill", [""]),
        ("wrong_merchant", ["merchant"]),
        ("not_final", ["not_final"]),
    ],
)
async def test_notification_comes_as_the_mode_says(
    wallet: Wallet, mode: str, refused: list[str]
) -> None:
    await wallet.client.create(wallet.client.body(REQUEST))
    await wallet.call("confirm", bill=NUMBER, report=mode)
    notices = await wallet.notices()
    assert [notice.refused for notice in notices] == refused
    assert len({notice.id for notice in notices}) == min(len(notices), 1)
    for transfer in [notice.event for notice in notices if notice.event]:
        assert (transfer.fen != 15_000) == (mode == "wrong_amount")
        assert (transfer.number != NUMBER) == (mode == "wrong_bill")


async def test_failed_delivery_is_repeated_and_a_finished_bill_notified_again(
    make_wallet: Callable[..., Wallet],
) -> None:
    wallet = make_wallet(503, 503, 204)
    await wallet.client.create(wallet.client.body(REQUEST))
    assert "detail" in await wallet.call("notify", bill=NUMBER)
    await wallet.call("confirm", bill=NUMBER)
    assert len({notice.id for notice in await wallet.notices()}) == 1
    assert wallet.simulator.delivery.statuses == [503, 503, 204]
    await wallet.call("notify", bill=NUMBER, report="twice")
    assert wallet.simulator.delivery.statuses == [503, 503, 204]
    assert len(await wallet.notices()) == 5


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("confirm", {"bill": NUMBER, "outcome": "perhaps"}),
        ("confirm", {"bill": NUMBER, "report": "loudly"}),
        ("expire", {"bill": "W2"}),
        ("notify", {"package": "W2"}),
        ("fault", {"fault": "fire"}),
        ("fault", {"fault": "lost", "times": -1}),
    ],
)
async def test_unknown_words_are_refused(wallet: Wallet, path: str, params: dict[str, Any]) -> None:
    assert "detail" in await wallet.call(path, **params)
