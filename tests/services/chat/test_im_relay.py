"""The IM relay: recipients, positions in the log and pacing."""

import pytest

from rooms.events import NumberedEvent
from rooms.room import Room
from services.chat import im_relay
from services.chat.im_relay import PER_SECOND, RECONCILE_SECONDS, RecentEvents
from tests.support.im_relay import GUEST, HOST, LOG_SIZE, RelayFixture, face, guest_payload


def gift_ids(relays: RelayFixture) -> list[int]:
    return [text["content"]["gift_id"] for text in relays.texts if text["type"] == "gift"]


# ---- recipients


async def test_events_are_sent_in_order_to_their_recipients(relays: RelayFixture) -> None:
    soon = int(relays.clock() * 1000) + 60_000
    events = (
        ("micro_invite", {**face(GUEST), "expires_at": soon}),
        ("micro_accept", guest_payload(GUEST)),
        ("gift", {"gift": {"id": 3, "name": "", "image": ""}, "num": 1}),
        ("micro_leave", {**face(GUEST), "reason": "host"}),
        ("live_end", {**face(HOST), "reason": "host"}),
    )
    async with relays.running() as relay:
        for event_type, data in events:
            relay.publish(1, relays.rooms.add_event(1, event_type, data))
        relay.mark_audience_changed(1)  # no counts after the end
        relay.mark_audience_changed(99)  # an unknown room
        await relays.until_idle(relay)
    recipients = [(m.get("group") or m.get("to"), m.get("priority")) for m in relays.messages]
    assert list(zip(relays.types, recipients, strict=True)) == [
        ("invite", (GUEST, None)),
        ("reset", ("qlive1", "High")),
        ("gift", ("qlive1", "Normal")),
        ("reset", ("qlive1", "High")),
        ("kickout", (GUEST, None)),
        ("over", ("qlive1", "High")),
    ]


async def test_the_host_receives_counts_at_most_once_a_second(relays: RelayFixture) -> None:
    relays.rooms.counts = [1, 2, 0, 0]
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_event(1, "micro_apply"))
        await relays.until_sent(1)
        for n in (3, 4, 2):
            relays.rooms.counts = [1, n, 0, 0]
            relay.publish(1, relays.rooms.add_event(1, "micro_apply"))
            await relays.until_only_counts_wait(relay)
        assert len(relays.texts) == 1
        relays.clock.now += 1
        await relays.until_idle(relay)
    assert [message["to"] for message in relays.messages] == [HOST] * 2
    content = {"group_id": "qlive1", "num_list": [1, 2, 0, 0]}
    assert relays.texts == [{"type": "num", "content": content}] * 2
    assert len({message["random"] for message in relays.messages}) == 2, "IM drops neither"


# ---- positions in the log


async def test_events_from_long_before_the_first_wake_are_not_sent(relays: RelayFixture) -> None:
    relays.rooms.add_gifts(1, 40)
    relays.clock.now += 60
    first, second = relays.rooms.add_gifts(1, 1), relays.rooms.add_gifts(1, 1)
    async with relays.running() as relay:
        relay.publish(1, second)
        await relays.until_idle(relay)
        relay.publish(1, first)  # stored late
        await relays.until_idle(relay)
    assert gift_ids(relays) == [41, 42]


async def test_what_was_private_is_not_sent_to_the_group_of_today(relays: RelayFixture) -> None:
    private = relays.rooms.add_gifts(1, 3)
    relays.rooms.public_since = 2
    async with relays.running() as relay:
        relay.publish(1, private)
        await relays.until_idle(relay)
    assert gift_ids(relays) == [3]


async def test_a_new_live_is_sent_from_its_first_event(relays: RelayFixture) -> None:
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 3))
        relay.publish(1, relays.rooms.add_event(1, "live_end"))
        await relays.until_idle(relay)
        relays.rooms.open(1, "e2")
        relay.publish(1, relays.rooms.add_gifts(1, 2))
        await relays.until_idle(relay)
    assert relays.types == ["gift"] * 3 + ["over"] + ["gift"] * 2


async def test_after_a_log_gap_guests_and_latest_events_are_sent(relays: RelayFixture) -> None:
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
        relays.rooms.add_gifts(1, LOG_SIZE)
        relays.rooms.add_event(1, "micro_leave", {**face("3"), "reason": "left"})
        relays.rooms.guests = ["1", "2"]
        relay.publish(1, relays.rooms.add_event(1, "micro_apply"))
        await relays.until_idle(relay)
        assert relays.types == ["gift", "reset", "reset", "num", *["gift"] * 29, "reset"]
        seats = [text["content"] for text in relays.texts if text["type"] == "reset"]
        changes = [(seat["content_type"], seat["user_id"]) for seat in seats]
        assert changes == [("on", "1"), ("on", "2"), ("off", "3")]
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
    assert relays.types[-1] == "gift"


async def test_events_during_a_reset_are_not_lost(
    relays: RelayFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events between the load of the room and the read of its log."""
    read = relays.rooms.read

    async def read_then_leave(live_id: int) -> Room | None:
        room = await read(live_id)
        if room and room.version == LOG_SIZE + 1:
            relays.rooms.add_event(1, "micro_leave", {**face("1"), "reason": "left"})
        return room

    monkeypatch.setattr(relays.rooms, "read", read_then_leave)
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_event(1, "micro_accept", guest_payload("1")))
        await relays.until_idle(relay)
        relays.rooms.add_gifts(1, LOG_SIZE - 1)  # by another process
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
    seats = [text["content"] for text in relays.texts if text["type"] == "reset"]
    assert (seats[-1]["content_type"], seats[-1]["user_id"]) == ("off", "1")


async def test_latest_events_of_a_deleted_user_do_not_hold_up_later_ones(
    relays: RelayFixture,
) -> None:
    relays.rooms.add_gifts(1, 3)
    relays.rooms.guests, relays.rooms.emptied = ["1"], 2
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_event(1, "micro_apply"))
        await relays.until_idle(relay)
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
    assert relays.types.count("reset") == 1
    assert gift_ids(relays) == [5]


async def test_after_a_log_gap_the_end_of_the_live_is_sent(relays: RelayFixture) -> None:
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
        relays.rooms.add_gifts(1, LOG_SIZE)
        relay.publish(1, relays.rooms.add_event(1, "live_end"))
        await relays.until_idle(relay)
        assert await relays.store.cursors() == {}
    assert relays.types == ["gift", "over"]


async def test_an_event_without_a_stored_wake_is_found(relays: RelayFixture) -> None:
    async with relays.running() as relay:
        relay.publish(1, relays.rooms.add_gifts(1, 1))
        await relays.until_idle(relay)
        relays.rooms.add_event(1, "live_end")
        relays.clock.now += RECONCILE_SECONDS
        await relays.until_sent(2)
    assert relays.types == ["gift", "over"]


# ---- pacing


async def test_a_group_receives_at_most_thirty_messages_a_second(relays: RelayFixture) -> None:
    """Without waiting for the next poll; the end of the live comes during the backlog."""
    times = []
    send_group_msg = relays.im.send_group_msg

    async def send(*message) -> None:
        times.append(relays.clock())
        await send_group_msg(*message)

    relays.im.send_group_msg = send
    async with relays.running(idle=3600) as relay:
        for n in range(70):
            relay.publish(1, relays.rooms.add_event(1, "micro_accept", guest_payload(str(n))))
        await relays.until_sent(20)
        relay.publish(1, relays.rooms.add_event(1, "live_end"))
        await relays.until_sent(71)
    sent = [text for text in relays.texts if text["type"] != "num"]
    assert [text["content"]["user_id"] for text in sent[:-1]] == [str(n) for n in range(70)]
    assert sent[-1]["type"] == "over"
    for first, last in zip(times, times[PER_SECOND:], strict=False):
        assert last - first > 0.999
    assert "10023" not in {entry["outcome"] for entry in relays.simulator.log}


# ---- events kept in memory


def event(seq: int, epoch: str = "e1") -> NumberedEvent:
    return NumberedEvent(epoch, seq, 0, "gift", {})


def test_events_without_a_gap_are_taken_once_and_later_ones_are_kept() -> None:
    recent = RecentEvents()
    recent.add(1, [event(4), event(5), event(6)])
    assert recent.take(1, "e1", 4, 5) == [event(5)], "the fourth was relayed"
    assert recent.take(1, "e1", 5, 6) == [event(6)]
    assert recent.take(1, "e1", 5, 6) is None
    recent.add(1, [event(1, "e0"), event(9, "e0"), event(1)])
    assert recent.take(1, "e1", 0, 1) == [event(1)]
    assert recent.take(1, "e0", 8, 9) is None, "they are forgotten"
    recent.add(1, [event(4), event(6)])
    assert recent.take(1, "e1", 3, 6) is None


def test_all_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    recent = RecentEvents()
    monkeypatch.setattr(im_relay, "MAX_RECENT", 2)
    for live_id in (1, 2, 3):
        recent.add(live_id, [event(1)])
    assert recent.take(1, "e1", 0, 1) is None
    assert recent.take(3, "e1", 0, 1) == [event(1)]
