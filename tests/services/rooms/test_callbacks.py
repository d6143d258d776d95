from types import SimpleNamespace
from typing import Any

import pytest

from services.rooms.callbacks import CallbackService
from storage.jobs.inbox import DONE, ignored
from tencent.callbacks import (
    CallbackEvent,
    GroupDestroyed,
    ImPresence,
    StreamEvent,
)
from tencent.json_reader import ParsedCallback

STREAM = "10000001_0123456789abcdef01234567"
STATE_CHANGE = ImPresence(("anna",), online=False, at_ms=5)
PUSH = StreamEvent(STREAM, on=True, sequence="66", at=5)
DROPPED = [("drop_stream", {"streams": [STREAM]}, {"key": STREAM, "urgent": False})]


class CallbackFixture:
    """A service whose presence returns `results` in turn; stands in for all its parts.

    `rooms`: the room of each group in use.
    """

    def __init__(self, *results: str) -> None:
        self.results = list(results)
        self.applied: list[tuple[Any, ...]] = []
        self.queued: list[Any] = []
        self.rooms: Any = {}
        self.private = False
        self.members = self.room_groups = self.outbox = self
        fakes: Any = self
        self.service = CallbackService(fakes, fakes, fakes, fakes)

    async def process(self, event: CallbackEvent) -> str:
        """ "done", or the reason why the event is ignored."""
        outcome = await self.service.handle(ParsedCallback("1", event))
        return outcome.reason or outcome.outcome

    async def on_im_state(
        self, user_id: str, *, online: bool, at_ms: int, group_id: str | None = None
    ) -> str:
        self.applied.append((user_id, online, at_ms, group_id))
        return self.results.pop(0)

    async def on_stream_event(self, stream: str, *, on: bool, sequence: str, at_s: int) -> str:
        self.applied.append((stream, on, sequence, at_s))
        return self.results.pop(0)

    async def add(self, kind: str, payload: dict[str, Any], **lane: Any) -> None:
        self.queued.append((kind, payload, lane))

    async def get(self, user_id: str) -> Any:
        """The membership of the user who pushes."""
        assert user_id == STREAM.partition("_")[0]
        return SimpleNamespace(live_id=1) if self.private else None

    async def read(self, _live_id: int) -> Any:
        return SimpleNamespace(live=True, visibility="private")

    async def room_of(self, group_id: str) -> int | None:
        return self.rooms.get(group_id)


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        (["other_group", "done"], "done"),
        (["has_a_socket", "not_in_a_room"], "has_a_socket"),
        ([], "nobody"),
    ],
)
async def test_an_event_of_many_members_is_done_if_it_was_for_one(
    results: list[str], outcome: str
) -> None:
    fixture = CallbackFixture(*results)
    user_ids = tuple(str(n) for n in range(len(results)))
    event = ImPresence(user_ids, online=False, at_ms=5, group_id="g")
    assert await fixture.process(event) == outcome
    assert len(fixture.applied) == len(user_ids)


@pytest.mark.parametrize(
    ("outcome", "stream", "on", "outbox"),
    [
        ("not_in_a_room", STREAM, True, DROPPED),
        ("not_the_current_stream", STREAM, True, DROPPED),
        ("done", STREAM, True, []),
        ("not_in_a_room", STREAM, False, []),
        ("not_in_a_room", "room_1", True, []),
    ],
)
async def test_a_pushed_stream_of_ours_that_belongs_to_no_seat_is_dropped(
    outcome: str, stream: str, on: bool, outbox: list[Any]
) -> None:
    fixture = CallbackFixture(outcome)
    assert await fixture.process(StreamEvent(stream, on=on, sequence="66", at=5)) == outcome
    assert fixture.queued == outbox


async def test_the_old_stream_of_a_member_of_a_private_live_is_dropped_first() -> None:
    fixture = CallbackFixture("not_the_current_stream")
    fixture.rooms, fixture.private = fixture, True
    await fixture.process(StreamEvent(STREAM, on=True, sequence="66", at=5))
    assert fixture.queued == [
        ("drop_stream", {"streams": [STREAM]}, {"key": STREAM, "urgent": True})
    ]


async def test_a_dissolved_group_is_replaced_if_a_room_uses_it() -> None:
    fixture = CallbackFixture()
    fixture.rooms = {"qlive_a": 3}
    assert await fixture.process(GroupDestroyed("qlive_a")) == "done"
    assert await fixture.process(GroupDestroyed("qlive_b")) == "unknown_group"
    payload, lane = {"live_id": 3, "group_id": "qlive_a"}, {"urgent": True, "key": "qlive_a"}
    assert fixture.queued == [("replace_group", payload, lane)]


async def test_a_callback_is_done_or_ignored_with_a_reason() -> None:
    service = CallbackFixture("done", "not_in_a_room").service
    for callback, outcome in (
        (ParsedCallback("1", STATE_CHANGE), DONE),
        (ParsedCallback("1", STATE_CHANGE), ignored("not_in_a_room")),
        (ParsedCallback("1", ignored="unknown_command"), ignored("unknown_command")),
        (ParsedCallback("1"), ignored("no_event")),
    ):
        assert await service.handle(callback) == outcome
