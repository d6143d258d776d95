"""What operators see of the switches, from callbacks of the simulator and the doctor's checks."""

from typing import Any

import pytest
from pymongo.database import Database

from runtime import process
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.callbacks import CallbackSender, proposed
from tests.support.payments import (
    create_order,
    event_sender,
    notification_statuses,
    pay_order,
    send_event,
)
from tests.support.waiting import WAIT_SECONDS

Db = Database[dict[str, Any]]
LEFT = {"CallbackCommand": "Group.CallbackAfterMemberExit", "GroupId": "none"}


async def switches(api: ApiFixture) -> dict[str, dict[str, Any]]:
    found = (await api.ops("GET", "switches")).ok()["switches"]
    return {row["switch"]["name"]: row for row in found}


def kinds(db: Db) -> set[str]:
    return {row["_id"] for row in db.arrivals.find()}


async def test_each_source_counts_with_a_right_signature_whatever_the_answer(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    callbacks, arrivals = CallbackSender(api, server.settings), server.context.services.arrivals
    await callbacks.im(LEFT, Sign="forged")
    await callbacks.live({"event_type": 1}, sign="forged")
    await api.request("POST", "/wx/api/qlive/qlive_pay/notify/", data="forged")
    await api.request("POST", "/wx/api/qlive/qlive_pay/xpay_notify/", data="{}")
    await arrivals.flush()
    assert kinds(db) == set()
    assert (await switches(api))["im.exits"]["state"] == "not seen"
    assert (await callbacks.im(LEFT)).status == 403  # unreadable
    await callbacks.im(proposed("1", GroupId="none"))  # IM waits for the answer
    await callbacks.im({"CallbackCommand": "Group.CallbackAfterSendMsg"})
    await callbacks.live({"event_type": 317})
    await send_event(api, event_sender(server), "wxa_punish_event")
    await pay_order(api, await create_order(await api.user("anna", 2)))
    await notification_statuses(server)
    await arrivals.flush()
    assert kinds(db) == {
        "im:Group.CallbackAfterMemberExit",
        "im:Group.CallbackBeforeSendMsg",
        "im:other",
        "live:317",
        "push:wxa_punish_event",
        "notification:TRANSACTION.SUCCESS",
    }
    found = await switches(api)
    right = {name for name, switch in found.items() if switch["state"] == "right"}
    assert right == {
        *("wechat.push", "wechat.push_penalties", "pay.orders", "css.pictures"),
        *("im.callback", "im.exits", "im.before_group_messages"),
    }
    assert found["im.exits"]["last_at"]
    assert found["im.editing"]["state"] == "cannot be told"


async def test_the_checks_run_once_a_minute_are_audited_and_their_findings_kept(
    api: ApiFixture,
) -> None:
    before = (await api.ops("GET", "switches")).ok()["last_checks"]
    assert before == {"at": None, "findings": []}
    (await api.request("POST", "/sim/setup", json={"wrong": "cos.versions"})).ok()
    found = (await api.ops("POST", "switches/checks")).ok()
    again = await api.ops("POST", "switches/checks")
    assert again.refusal == (429, "too_many")
    assert 0 < int(again.headers["Retry-After"]) <= 60
    wrong = [row for row in found["findings"] if row["verdict"] == "wrong"]
    assert [row["name"] for row in wrong] == ["cos.versions"]
    assert (await api.ops("GET", "switches")).ok()["last_checks"] == found
    states = {name: switch["state"] for name, switch in (await switches(api)).items()}
    assert states["cos.versions"] == "wrong"
    assert states["im.dissolved"] == states["cos.access"] == states["wechat.addresses"] == "right"
    log = (await api.ops("GET", "audit", {"what": "POST Checks"})).ok()["items"]
    assert [entry["after"].get("wrong") for entry in log] == [None, ["cos.versions"]]


async def test_what_has_arrived_is_stored_when_the_process_ends(
    api: ApiFixture, server: ServerProcess, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DATABASE_SECONDS", WAIT_SECONDS)
    await CallbackSender(api, server.settings).im(LEFT)
    assert kinds(db) == set()
    await server.stop()
    assert kinds(db) == {"im:Group.CallbackAfterMemberExit"}
