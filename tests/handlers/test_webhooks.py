"""Webhooks in the operators' API."""

import re
from typing import Any

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.server import job_of
from tests.support.waiting import until
from tests.support.webhooks import Receiver


async def test_an_admin_manages_webhooks_whose_secrets_are_shown_once_and_never_audited(
    api: ApiFixture, db: Any
) -> None:
    new = {"url": "http://127.0.0.1:9000/hook", "types": ["user.banned"], "enabled": False}
    new["url"] += "?key=correct-horse#correct-horse"
    made = (await api.ops("POST", "webhooks", **new)).ok()
    address = f"webhooks/{made['id']}"
    changed = (await api.ops("PATCH", address, types=["live.ended"])).ok()
    rotated = (await api.ops("POST", f"{address}/rotate")).ok()
    on = (await api.ops("PATCH", address, enabled=True)).ok()
    [listed] = (await api.ops("GET", "webhooks")).ok()["items"]
    assert re.fullmatch(r"whsec_[0-9A-Za-z+/]{43}=", made["secret"])
    assert rotated["secret"] != made["secret"]
    assert (changed["url"], changed["types"], changed["off_reason"]) == (
        *(new["url"], ["live.ended"], ""),
    )
    assert listed == on
    assert not {"secret", "secrets"} & {*listed, *changed}
    (await api.ops("DELETE", address)).ok()
    for method, path in (
        *(("PATCH", address), ("DELETE", address), ("GET", f"{address}/deliveries")),
        *(("POST", f"{address}/rotate"), ("POST", f"{address}/deliveries/msg_1/again")),
    ):
        assert (await api.ops(method, path)).refusal == (404, "no_such_webhook")
    entries = (await api.ops("GET", "audit")).ok()["items"]
    done = [(row["what"], row["before"], row["after"]) for row in entries if row["done"]]
    shown = {**new, "url": "http://127.0.0.1:9000/hook", "off_reason": ""}
    assert ("POST Webhooks", {}, shown) in done
    assert ("PATCH OneWebhook", {"enabled": False}, {"enabled": True}) in done
    assert "correct-horse" not in str([*db.audit.find()])
    dump = str([*db.audit.find(), *db.webhooks.find()])
    assert not [secret for secret in (made["secret"], rotated["secret"]) if secret in dump]


async def test_addresses_and_types_are_checked(api: ApiFixture) -> None:
    good = {"url": "https://hooks.invalid/", "types": ["user.banned"], "enabled": False}
    made = (await api.ops("POST", "webhooks", **good)).ok()
    for wrong in (
        *({"url": "https://10.0.0.1/"}, {"url": "https://anna@hooks.invalid/"}),
        *({"types": []}, {"types": ["user.renamed"]}),
    ):
        for method, path in (("POST", "webhooks"), ("PATCH", f"webhooks/{made['id']}")):
            reply = await api.ops(method, path, **{**good, **wrong})
            assert reply.refusal == (400, "bad_parameter"), wrong


async def test_deliveries_are_listed_by_page_with_their_attempts_and_sent_again(
    api: ApiFixture, server: ServerProcess, receiver: Receiver, db: Any
) -> None:
    receiver.fail(500)
    new = {"url": receiver.url, "types": ["user.registered"]}
    address = f"webhooks/{(await api.ops('POST', 'webhooks', **new)).ok()['id']}/deliveries"
    anna = await api.user("anna", 2)
    await until(lambda: receiver.received)
    await until(lambda: db.webhook_events.find_one({"attempts.status": 500}))
    [row] = (await api.ops("GET", address)).ok()["items"]
    assert (row["type"], row["state"], row["attempts"][0]["status"]) == (
        *("user.registered", "waiting", 500),
    )
    again = (await api.ops("POST", f"{address}/{row['id']}/again")).ok()
    assert (again["state"], len(again["attempts"])) == ("waiting", 1)
    await until(lambda: db.webhook_events.find_one({"state": "delivered"}))
    first, second = receiver.received
    assert first.id == second.id == row["id"]
    assert second.content["data"] == {"user_id": anna.id}

    db.webhooks.update_many({}, {"$set": {"enabled": False}})
    more = [{**db.webhook_events.find_one(), "_id": f"msg_{n:02}"} for n in range(60)]
    db.webhook_events.insert_many(more)
    page = (await api.ops("GET", address)).ok()
    rest = (await api.ops("GET", f"{address}?after={page['next']}")).ok()
    ids = {item["id"] for item in page["items"] + rest["items"]}
    assert (len(page["items"]), len(ids), rest["next"]) == (50, 61, None)
    assert job_of(server, "webhooks")
