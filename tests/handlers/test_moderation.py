"""The moderation queue in the operators' API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rooms.moderation import Item
from tests.support.api import ApiFixture
from tests.support.moderation import HIDDEN, ModerationFixture


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"moderation": HIDDEN}


async def ids(api: ApiFixture, **search: str) -> list[str]:
    query = "&".join(f"{name}={value}" for name, value in search.items())
    return [row["id"] for row in (await api.ops("GET", f"moderation?{query}")).ok()["items"]]


async def decide(api: ApiFixture, item_id: str, **decision: Any) -> Any:
    return await api.ops("POST", f"moderation/{item_id}/decide", **decision)


async def audited(api: ApiFixture) -> list[tuple[str, str, Any, Any, bool]]:
    entries = (await api.ops("GET", "audit")).ok()["items"]
    names = ("what", "reason", "before", "after", "done")
    return [tuple(entry[name] for name in names) for entry in entries]


async def test_what_an_operator_approves_is_shown_and_what_they_refuse_is_not(
    api: ApiFixture, moderation: ModerationFixture
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    await moderation.change(anna.id, nickname="first")
    await moderation.change(anna.id, nickname="review 安娜")
    await moderation.change(bert.id, nickname="review 伯特")
    [hers] = await ids(api, state="review", user_id=anna.id)
    [his] = await ids(api, state="open", kind="nickname", user_id=bert.id)
    assert await ids(api, state="open") == [his, hers]
    assert await ids(api, state="open", kind="face") == []
    rows = (await api.ops("GET", f"moderation?user_id={anna.id}")).ok()["items"]
    row = rows[0]
    assert (row["value"], row["before"], row["state"]) == ("review 安娜", "first", "review")
    assert row["user"] == {"user_id": anna.id, "nickname": "first", "face_url": ""}
    assert [(one["value"], one["state"]) for one in rows[1:]] == [("first", "approved")]

    (await decide(api, hers, approved=True, state="review")).ok()
    (await decide(api, his, approved=False, state="review", reason="advert")).ok()
    [refused] = (await api.ops("GET", f"moderation?user_id={bert.id}")).ok()["items"]
    assert (refused["state"], refused["decision"]) == ("refused", "advert")
    assert (await moderation.shown(anna.id))["nickname"] == "review 安娜"
    assert (await moderation.shown(bert.id))["nickname"] == "bert"
    again = await decide(api, his, approved=True, state="review")
    assert again.refusal == (409, "decided")
    (await decide(api, his, approved=True, state="refused", reason="his name")).ok()
    assert (await moderation.shown(bert.id))["nickname"] == "bert"
    missing = await decide(api, "0" * 24, approved=False, state="review", reason="x")
    assert missing.refusal == (404, "no_such_thing")
    assert await audited(api) == [
        ("POST DecideItem", "x", {}, {}, False),
        ("POST DecideItem", "his name", {"state": "refused"}, {"state": "approved"}, True),
        ("POST DecideItem", "", {}, {}, False),
        ("POST DecideItem", "advert", {"state": "review"}, {"state": "refused"}, True),
        ("POST DecideItem", "", {"state": "review"}, {"state": "approved"}, True),
    ]
    [_, _, entry] = (await api.ops("GET", f"audit?q={bert.id}")).ok()["items"]
    assert entry["parameters"]["item"]["value"] == "review 伯特"


async def test_evidence_is_in_no_list_and_who_reads_it_is_audited(
    api: ApiFixture, moderation: ModerationFixture
) -> None:
    evidence = {"reporter": "10000001", "lines": [{"user_id": "1", "text": "秘密", "at": 1}]}
    since = datetime.now(UTC) - timedelta(hours=3)
    report = Item("abc1", "report", "10000002", since, state="review", label="abuse")
    report.evidence.update(evidence)
    await moderation.items.add(report)
    listed = await api.ops("GET", "moderation")
    assert "秘密" not in listed.text
    assert listed.ok()["items"][0]["user"] is None
    assert await audited(api) == []
    assert (await api.ops("GET", "moderation/abc1/evidence")).ok() == {"evidence": evidence}
    [entry] = (await api.ops("GET", "audit?q=10000002")).ok()["items"]
    assert (entry["what"], entry["on"], entry["done"]) == ("GET Evidence", "abc1", True)
    [open_items] = (await api.ops("GET", "overview")).ok()["moderation"]
    assert (open_items["kind"], open_items["items"]) == ("report", 1)
    assert datetime.fromisoformat(open_items["oldest_at"]) - since < timedelta(seconds=1)


async def test_policy_shows_what_is_checked_and_kept(api: ApiFixture) -> None:
    policy = (await api.ops("GET", "moderation/policy")).ok()["policy"]
    kept = {"words_file": "", "moderation_days": 180, "chat_days": 60}
    assert policy.items() >= {**HIDDEN, **kept}.items()
