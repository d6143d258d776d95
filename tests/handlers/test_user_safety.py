"""Users who block or report one another, and those whom WeChat rates as risky."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from storage.moderation import MAX_BLOCKS
from tencent import wechat
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import chat, group_of, user_sig
from tests.support.client import Reply
from tests.support.gifts import give
from tests.support.waiting import until

REFUSED = (403, "blocked")
RISKY = (403, "high_risk")


async def block(client: ApiClient, other: ApiClient, *, blocked: bool = True) -> None:
    (await client.post("qlive_user/block/", user_id=other.id, blocked=blocked)).ok()


async def report(client: ApiClient, other: ApiClient, **more: Any) -> Reply:
    return await client.post("qlive_user/report/", user_id=other.id, reason="abuse", **more)


async def profile_of(client: ApiClient, other: ApiClient) -> Reply:
    return await client.get("qlive_user/get_userinfo/", user_id=other.id)


async def test_blocked_users_cannot_invite_give_write_or_see_each_other_whoever_blocked(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    assert await api.grant(host, 100) == 100
    given = (await give(anna, host.id, request_id="before")).ok()
    for blocker, blocked in ((host, anna), (anna, host)):
        await block(blocker, blocked)
        await block(blocker, blocked)
        listed = (await blocker.get("qlive_user/blocks/")).ok()
        assert [row["user_id"] for row in listed] == [blocked.id]
        assert (await blocked.get("qlive_user/blocks/")).ok() == []
        invited = await host.post("qlive_room/invite_micro/", user_id=anna.id, live_id=host.live_id)
        assert invited.refusal == REFUSED
        for client, other in ((host, anna), (anna, host)):
            assert (await profile_of(client, other)).refusal == REFUSED
            assert (await give(client, other.id)).refusal == REFUSED
            assert await chat(api, client.id, await user_sig(client), to=other.id, text="你") > 0
        assert (await give(anna, host.id, request_id="before")).ok() == given
        await block(blocker, blocked, blocked=False)
        assert (await profile_of(anna, host)).ok()
    assert (await give(anna, host.id)).ok()
    assert (await host.post("qlive_room/invite_micro/", user_id=anna.id, live_id=host.live_id)).ok()
    sig = await user_sig(anna)

    async def may_write() -> bool:
        return await chat(api, anna.id, sig, to=host.id, text="你") == 0

    await until(may_write)


async def test_blocks_are_not_read_for_users_who_never_took_part_in_one(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.context.stores.user_blocks, "among", None)
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id)).ok()
    (await profile_of(anna, host)).ok()
    (await host.get("qlive_user/get_users_info/", live_id=host.live_id, gender=2)).ok()
    (await host.post("qlive_room/invite_micro/", user_id=anna.id, live_id=host.live_id)).ok()


async def test_the_host_alone_sees_in_the_list_who_is_blocked(api: ApiFixture) -> None:
    host = await api.host()
    anna, eva = [await api.guest(name, 2, host.live_id) for name in ("anna", "eva")]
    carl = await api.guest("carl", 1, host.live_id)
    await block(anna, host)
    await block(carl, anna)

    async def shown_to(client: ApiClient) -> dict[str, bool]:
        params = {"live_id": host.live_id, "gender": 2}
        rows = (await client.get("qlive_user/get_users_info/", **params)).ok()
        return {row["user_id"]: row["blocked"] for row in rows}

    assert await shown_to(host) == {anna.id: True, eva.id: False}
    assert await shown_to(carl) == {anna.id: False, eva.id: False}


async def test_a_block_of_nobody_of_oneself_or_of_too_many_is_refused(
    api: ApiFixture, db: Any
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    for path, more in (("block", {"blocked": True}), ("report", {"reason": "abuse"})):
        missing = await anna.post(f"qlive_user/{path}/", user_id="10000000", **more)
        assert missing.refusal == (404, "no_such_user")
        own = await anna.post(f"qlive_user/{path}/", user_id=anna.id, **more)
        assert own.refusal == (400, "bad_parameter")
    db.user_blocks.insert_many({"by": anna.id, "of": str(n), "at": n} for n in range(MAX_BLOCKS))
    refused = await anna.post("qlive_user/block/", user_id=bert.id, blocked=True)
    assert refused.refusal == (409, "too_many_blocks")


async def test_a_report_reaches_the_queue_once_a_day_with_its_evidence(
    api: ApiFixture, server: ServerProcess
) -> None:
    stores = server.context.stores
    host = await api.host()
    bert, carl = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    group_id = await group_of(bert)
    for client, text in ((bert, "坏话"), (carl, "不相干")):
        assert await chat(api, client.id, await user_sig(client), group_id, text=text) == 0

    async def both_are_stored() -> bool:
        return len(await stores.chat_lines.last_lines(host.live_id)) == 2

    await until(both_are_stored)
    for client in (bert, carl):
        (await client.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    for text in ("rude", "again"):
        assert (await report(host, bert, live_id=host.live_id, text=text)).ok() == {"detail": "OK"}
    (await report(bert, host)).ok()
    missing = await report(carl, bert, live_id=host.live_id + 1)
    assert missing.refusal == (404, "no_such_room")
    (item,), _ = await stores.moderation.page("", 9, kind="report", user_id=bert.id)
    assert (item.state, item.label, item.live_id) == ("review", "abuse", host.live_id)
    evidence = item.evidence
    said = {"reporter": host.id, "text": "rude", "nickname": "bert"}
    assert evidence.items() >= said.items()
    assert [line["text"] for line in evidence["lines"]] == ["坏话"]
    assert [event["data"]["user_id"] for event in evidence["events"]] == [bert.id]
    (item,), _ = await stores.moderation.page("", 9, kind="report", user_id=host.id)
    assert (item.live_id, item.evidence["reporter"]) == (0, bert.id)


@pytest.mark.parametrize("changes", [{"moderation": {"risk_rank_high": 4}}])
async def test_a_user_of_high_risk_may_only_watch_until_wechat_ranks_them_lower(
    http_api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(words: str) -> None:
        await http_api.request("POST", "/sim/content/next", json={"words": words})

    host = await http_api.host()
    await answer("rank 4")
    anna = await http_api.guest("anna", 2, host.live_id)
    assert await http_api.grant(anna, 100) == 100
    room = {"live_id": host.live_id}

    async def refusals() -> list[Any]:
        calls = [
            await anna.post("qlive_room/apply_micro/", **room),
            await anna.post("qlive_room/accept_micro/", **room),
            await give(anna, host.id),
        ]
        return [None if reply.status == 200 else reply.refusal for reply in calls]

    assert await refusals() == [RISKY] * 3
    await answer("61010")
    with monkeypatch.context() as patch:
        patch.setattr(wechat, "ANSWER_SECONDS", 0.05)
        for seconds in (None, 1):  # WeChat does not say: the last rank holds
            await http_api.outage("content", seconds=seconds)
            assert (await http_api.log_in("anna")).ok()["status"] == 0
            assert await refusals() == [RISKY] * 3
    await http_api.outage("content")
    await answer("rank 3")
    (await http_api.log_in("anna")).ok()
    assert await refusals() == [None] * 3
