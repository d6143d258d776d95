"""Orders of group repairs in a real outbox."""

from datetime import UTC, datetime, timedelta

import pytest

from services import group_repairs as module
from services.group_repairs import EXPECTED_SECONDS, REPEAT_SECONDS, GroupRepairs
from storage.outbox import OutboxStore
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock

gen_test = pytest.mark.gen_test(timeout=30)
Message = tuple[str, dict[str, object]]


async def claim_all(queue: OutboxStore) -> list[Message]:
    now = datetime.now(UTC) + timedelta(minutes=1)
    messages = []
    while claimed := await queue.claim(now, now + timedelta(hours=1), 10):
        messages += [(message.kind, message.payload) for message in claimed]
    return messages


@gen_test
async def test_orders_are_messages_that_earlier_releases_do_not_claim(
    stores: StoresFixture,
) -> None:
    repairs = GroupRepairs(stores.outbox)
    await repairs.ensure(1, "qlive_a")
    await repairs.replace(1, "qlive_a")
    assert await claim_all(stores.outbox) == []  # the state that they know
    payload = {"live_id": 1, "group_id": "qlive_a"}
    messages = await claim_all(stores.outbox.only(*module.GROUP_KINDS).urgent())
    assert messages == [("ensure_group", payload), ("replace_group", payload)]


@gen_test
async def test_orders_for_the_same_group_that_wait_are_merged(stores: StoresFixture) -> None:
    for process in (GroupRepairs(stores.outbox), GroupRepairs(stores.outbox)):
        await process.replace(1, "qlive_a")
        await process.replace(1, "qlive_b")
    messages = await claim_all(stores.outbox.urgent())
    assert [payload["group_id"] for _, payload in messages] == ["qlive_a", "qlive_b"]


@gen_test
async def test_a_replacement_is_expected_for_some_seconds_and_ordered_again_after_a_minute(
    stores: StoresFixture, clock: Clock
) -> None:
    repairs = GroupRepairs(stores.outbox, clock=clock)
    outcomes = []
    for seconds in (0, EXPECTED_SECONDS - 1, 1, REPEAT_SECONDS - EXPECTED_SECONDS - 1, 1):
        clock.now += seconds
        is_expected = await repairs.expect_replacement(1, "qlive_a")
        outcomes.append((is_expected, len(await claim_all(stores.outbox.urgent()))))
    assert outcomes == [(True, 1), (True, 0), (False, 0), (False, 0), (True, 1)]


@gen_test
async def test_rooms_are_independent_and_a_bounded_number_is_remembered(
    stores: StoresFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROOMS", 2)
    repairs = GroupRepairs(stores.outbox, clock=clock)
    for live_id in (1, 2, 3):
        assert await repairs.expect_replacement(live_id, f"qlive_{live_id}")
    assert len(await claim_all(stores.outbox.urgent())) == 3
    assert list(repairs._queued_at) == [2, 3]
