"""IM is answered from memory; in doubt, a message is allowed."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from core.clock import now_ms
from core.limits import Rate
from realtime.bus import Bus, UserEvicted
from realtime.close_codes import CloseCode
from rooms.events import NumberedEvent
from services.chat import message_checks
from services.chat.message_checks import (
    ChatRoomCache,
    MessageCheckService,
    refusal_code,
)
from storage.chat.groups import ChatRoom
from storage.chat.lines import ChatLine
from tencent.callbacks import ProposedMessage
from tests.support.tencent import Clock

HOST, ANNA, BERT, ADMIN = "10000000", "10000001", "10000002", "administrator"
NO_LIMIT = Rate(0, 0)
SOON, PAST = now_ms() + 3_600_000, 1


class CheckFixture:
    """A service whose groups, log and blocks are this object."""

    def __init__(self, rate: Rate = NO_LIMIT) -> None:
        self.rooms: dict[str, ChatRoom] = {"g": ChatRoom(1, HOST)}
        self.reads = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.lines: list[tuple[int, ChatLine]] = []
        self.pairs: set[tuple[str, str]] = set()
        self.clock, self.bus, fakes = Clock(0.0), Bus(), self
        parts: Any = fakes
        self.cache = ChatRoomCache(parts, self.clock)
        self.service = MessageCheckService(
            self.cache, parts, self.bus, rate, ADMIN, self.find_word, self.is_blocked
        )

    async def chat_room(self, group_id: str) -> ChatRoom | None:
        self.reads += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return self.rooms.get(group_id)

    def add(self, live_id: int, line: ChatLine) -> None:
        self.lines.append((live_id, line))

    def find_word(self, text: str) -> str:
        return "bad" if "bad" in text else ""

    async def is_blocked(self, user_id: str, other_id: str) -> bool:
        await self.gate.wait()
        if self.error:
            raise self.error
        return (user_id, other_id) in self.pairs

    async def write(
        self, sender: str = ANNA, *texts: str, group: str = "g", custom: str = ""
    ) -> str | None:
        customs = (custom,) if custom else ()
        message = ProposedMessage(sender, group_id=group, texts=texts or ("hi",), customs=customs)
        return await self.service.check(message)

    async def write_to(self, receiver: str, text: str = "hi", custom: str = "") -> str | None:
        customs = (custom,) if custom else ()
        message = ProposedMessage(ANNA, receiver=receiver, texts=(text,), customs=customs)
        return await self.service.check(message)


@pytest.mark.parametrize(
    ("room", "sender", "refusal"),
    [
        (ChatRoom(1, HOST, blocked={ANNA: SOON}, muted={ANNA: SOON}), ANNA, "banned"),
        (ChatRoom(1, HOST, muted={ANNA: SOON}, mute_all=True), ANNA, "muted"),
        (ChatRoom(1, HOST, blocked={ANNA: PAST}, muted={ANNA: PAST}), ANNA, None),
        (ChatRoom(1, HOST, mute_all=True), ANNA, "muted_all"),
        (ChatRoom(1, HOST, mute_all=True), HOST, None),
        (ChatRoom(1, HOST, mute_all=True), ADMIN, None),
    ],
)
async def test_the_room_decides_who_may_write(
    room: ChatRoom, sender: str, refusal: str | None
) -> None:
    fixture = CheckFixture()
    fixture.rooms["g"] = room
    assert await fixture.write(sender) == refusal


@pytest.mark.parametrize(
    ("text", "custom", "refusal"),
    [
        ("{}", '{"cmd": "Gift"}', "imitation"),
        ("x", "送你一个礼物", "imitation"),
        (' {"type": "gift"}', "", "imitation"),
        ('{"type": "over"}', "", "imitation"),
        ("x", '{"type": "reset"}', "imitation"),
        ('{"type": "hello"}', '{"type": ["gif"]}', None),
        ('{"type": ', "like", None),
        ("[" * 100_000, "", None),
        ("{" * 3 + "}", "", None),
        ("so bad", "", "words"),
        ("a gift for you", "", None),
    ],
)
async def test_imitations_and_words_are_refused_in_a_group(
    text: str, custom: str, refusal: str | None
) -> None:
    assert await CheckFixture().write(ANNA, text, custom=custom) == refusal


async def test_between_users_blocks_and_words_count() -> None:
    fixture = CheckFixture()
    fixture.pairs = {(ANNA, BERT)}
    assert await fixture.write_to(BERT) == "blocked"
    assert await fixture.write_to(HOST, custom='{"type": "gift"}') is None
    assert await fixture.write_to(HOST, "bad") == "words"
    fixture.error = AutoReconnect()
    assert await fixture.write_to(BERT) is None
    fixture.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await fixture.write_to(BERT)
    assert (fixture.reads, fixture.lines) == (0, [])


async def test_a_user_who_writes_too_fast_is_refused_and_others_are_not() -> None:
    fixture = CheckFixture(Rate(0.001, 2))
    refusals = [await fixture.write() for _ in range(2)] + [await fixture.write_to(BERT)]
    assert refusals == [None, None, "rate"]
    assert await fixture.write(BERT) is None


async def test_allowed_lines_of_our_rooms_are_kept() -> None:
    fixture = CheckFixture()
    await fixture.write(ANNA, "one", "two")
    await fixture.write(BERT, "bad")
    await fixture.write(ANNA, "elsewhere", group="other")
    assert [(live_id, line.user_id, line.text) for live_id, line in fixture.lines] == [
        (1, ANNA, "one two")
    ]


async def test_a_group_that_is_not_ours_is_left_alone() -> None:
    assert await CheckFixture().write(ANNA, "bad", group="other") is None


# ---- what is remembered of a room


async def test_a_room_is_read_once_a_second_and_otherwise_answered_from_memory() -> None:
    fixture = CheckFixture()
    for _ in range(5):
        await fixture.write()
    fixture.rooms["g"] = ChatRoom(1, HOST, mute_all=True)
    fixture.clock.now = 0.9
    assert await fixture.write() is None
    assert fixture.reads == 1
    fixture.clock.now = 1.1
    assert [await fixture.write() for _ in range(2)] == ["muted_all"] * 2
    assert fixture.reads == 2


@pytest.mark.parametrize("type_", ["mute", "mute_all", "live_end", "micro_apply"])
async def test_a_mute_in_this_process_counts_at_once(type_: str) -> None:
    fixture = CheckFixture()
    await fixture.write()
    fixture.rooms["g"] = ChatRoom(1, HOST, mute_all=True)
    fixture.cache.mark_audience_changed(1)
    fixture.cache.publish(2, [NumberedEvent("e", 1, 1, type_, {})])
    fixture.cache.publish(1, [NumberedEvent("e", 1, 1, type_, {})])
    assert await fixture.write() == (None if type_ == "micro_apply" else "muted_all")


async def test_without_an_answer_of_the_database_only_what_needs_none_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_checks, "WAIT_SECONDS", 0.01)
    fixture = CheckFixture()
    fixture.rooms["g"] = ChatRoom(1, HOST, mute_all=True)
    fixture.gate.clear()
    fixture.pairs = {(ANNA, BERT)}
    assert [await fixture.write(), await fixture.write_to(BERT)] == [None, None]
    assert await fixture.write(ANNA, "bad") == "words"
    fixture.error = AutoReconnect()
    fixture.gate.set()
    assert await fixture.write() is None
    assert fixture.lines == []
    fixture.error = None
    assert await fixture.write() == "muted_all"


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_checks, "MAX_ROOMS", 2)
    monkeypatch.setattr(message_checks, "BAN_SECONDS", -1)
    fixture = CheckFixture()
    fixture.rooms |= {"h": ChatRoom(2, HOST), "i": ChatRoom(3, HOST)}
    for group_id in ("g", "other", "h", "i"):
        await fixture.write(group=group_id)
    assert [*fixture.cache._rooms] == ["h", "i"]
    for user_id in (ANNA, BERT):
        fixture.bus.publish(UserEvicted(user_id, None, CloseCode.PUT_OUT, 0))
    assert fixture.service._banned_until.keys() == {BERT}
    assert await fixture.write(BERT, group="h") is None


async def test_a_ban_counts_at_once_in_every_group_and_a_removal_in_its_room() -> None:
    fixture = CheckFixture()
    await fixture.write()
    fixture.rooms["g"] = ChatRoom(1, HOST, blocked={BERT: SOON})
    fixture.bus.publish(UserEvicted(ANNA, None, CloseCode.TOKEN, 0))
    fixture.bus.publish(UserEvicted(BERT, 1, CloseCode.PUT_OUT, 0))
    assert [await fixture.write(ANNA), await fixture.write(BERT)] == [None, "banned"]
    fixture.bus.publish(UserEvicted(ANNA, None, CloseCode.PUT_OUT, 0))
    assert [await fixture.write(ANNA), await fixture.write_to(HOST)] == ["banned"] * 2


def test_codes_are_in_the_ranges_that_im_passes_on() -> None:
    assert refusal_code("banned", in_group=True) == 10100
    assert refusal_code("imitation", in_group=True) == 10104
    assert refusal_code("banned", in_group=False) == 120001
    assert refusal_code("rate", in_group=False) == 120007
