"""Agreements that are changed at the same time, and those of a deleted user."""

import asyncio
from functools import partial

from people.notices import SIX_HOURS_MS, Consent, NotDue
from tests.support.storage import StoresFixture


async def test_agreements_taken_at_the_same_time_are_each_spent_once(
    stores: StoresFixture,
) -> None:
    change = partial(stores.consents.change, "anna:T1")

    async def agree(at: int) -> None:
        await change(lambda consent: consent.note_event(f"popup:{at}", at, accepted=True))

    await asyncio.gather(*map(agree, range(1, 5)))
    hosts = [f"host {number}" for number in range(6)]
    takes = [partial(Consent.take, host_id=host, now=10**12, user_day=9) for host in hosts]
    taken = await asyncio.gather(*map(change, takes), return_exceptions=True)
    assert [type(result) for result in taken].count(NotDue) == 2
    assert await stores.consents.due(["anna"], "T1", "host", 1) == []


async def test_a_user_who_got_a_notice_of_the_host_is_due_again_after_six_hours(
    stores: StoresFixture,
) -> None:
    change = partial(stores.consents.change, "anna:T1")
    for at in range(3):
        await change(partial(Consent.note_event, event_id=f"popup:{at}", at=at + 1, accepted=True))
    await change(partial(Consent.take, host_id="1001", now=10**12, user_day=9))
    due = partial(stores.consents.due, ["anna"], "T1")
    assert await due("1002", 10**12) == ["anna"]
    assert await due("1001", 10**12 + SIX_HOURS_MS - 1) == []
    assert await due("1001", 10**12 + SIX_HOURS_MS) == ["anna"]


async def test_agreements_are_of_one_template_and_go_with_their_user(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("wx1", "o1")
    consents = stores.consents
    for user_id in (user.user_id, "other"):
        await consents.change(
            f"{user_id}:T1", lambda consent: consent.note_event("popup:1", 1, accepted=True)
        )
    both = ["other", user.user_id]
    assert await consents.due(both, "T1", "host", 1) == both
    assert await consents.due(both, "T2", "host", 1) == []
    for step in stores.deletions.steps(user):
        await step()
    assert await consents.due(both, "T1", "host", 1) == ["other"]
    late = partial(Consent.note_sent, host_id="host", msg_id="m1")
    await consents.change(f"{user.user_id}:T1", late)
    assert await stores.rows("notice_consents").count_documents({}) == 1
