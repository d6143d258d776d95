"""The limit of applications and invitations."""

from typing import Any

import pytest

from tests.support.api import ApiFixture


@pytest.mark.gen_test(timeout=20)
async def test_a_full_queue_is_refused_until_a_place_is_free(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.room.QUEUE_SIZE", 1)
    host = await api.host()
    room: Any = {"live_id": host.live_id}
    bert, carl, emil = [await api.guest(n, 1, host.live_id) for n in ("bert", "carl", "emil")]
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    assert (await carl.post("qlive_room/apply_micro/", **room)).refusal == (409, "queue_full")
    (await host.post("qlive_room/invite_micro/", user_id=emil.id, **room)).ok()
    refused = await host.post("qlive_room/invite_micro/", user_id=carl.id, **room)
    assert refused.refusal == (409, "queue_full")
    (await bert.post("qlive_room/refuse_micro/", **room)).ok()
    (await carl.post("qlive_room/apply_micro/", **room)).ok()
