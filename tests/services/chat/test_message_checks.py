"""IM is answered from memory; in doubt, a message is allowed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from core.clock import now_ms
from core.limits import Rate
from rooms.members import Member, Person
from rooms.room import Room
from rooms.state import Seat
from services.chat import message_checks
from services.chat.im_messages import KINDS
from services.chat.message_checks import MessageCheckService, refusal_code
from storage.accounts.users import User
from storage.chat import ChatLine
from storage.documents import EPOCH
from tencent.callbacks import ProposedMessage
from tests.support.tencent import Clock

HOST, ANNA, BERT, ADMIN = "10000000", "10000001", "10000002", "administrator"
GROUP, OTHER = "qlive_g", "@TGS#other"
NO_LIMIT = Rate(0, 0)
SOON, PAST = now_ms() + 3_600_000, 1


def room(**fields: Any) -> Room:
    return Room(1, GROUP, Seat(Person(HOST, "host", "", 2), "s"), **fields)


class CheckFixture:
    """A service with stores in memory, which answer while `gate` is set."""

    def __init__(self, rate: Rate = NO_LIMIT) -> None:
        self.groups: dict[str, Room] = {GROUP: room()}
        self.people = {
            user_id: User(user_id, "app", user_id, EPOCH) for user_id in (HOST, ANNA, BERT)
        }
        self.memberships = {
            user_id: Member(user_id, 1, "", 2, "host" if user_id == HOST else "viewer", 0)
            for user_id in self.people
        }
        self.pairs: dict[tuple[str, str], bool] = {}
        self.reads: list[str] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.lines: list[tuple[int, ChatLine]] = []
        stores: Any = SimpleNamespace(
            users=SimpleNamespace(find=self._reader("user", self.people)),
            rooms=SimpleNamespace(of_group=self._reader("room", self.groups)),
            members=SimpleNamespace(get=self._reader("member", self.memberships)),
            user_blocks=SimpleNamespace(
                are_apart=lambda *pair: self._reader("pair", self.pairs)(pair)
            ),
            chat_lines=SimpleNamespace(add=lambda *line: self.lines.append(line)),
        )
        self.service = MessageCheckService(stores, ADMIN, self.find_word, rate)

    def _reader(self, name: str, found: dict[Any, Any]) -> Callable[[Any], Awaitable[Any]]:
        async def read(key: Any) -> Any:
            self.reads.append(name)
            await self.gate.wait()
            if self.error:
                raise self.error
            return found.get(key)

        return read

    def find_word(self, text: str) -> str:
        self.reads.append("words")
        return "bad" if "bad" in text else ""

    async def write(
        self, sender: str = ANNA, *texts: str, group: str = GROUP, custom: str = "", **more: Any
    ) -> str | None:
        customs = (custom,) if custom else ()
        message = ProposedMessage(sender, group, texts=texts or ("hi",), customs=customs, **more)
        return await self.service.check(message)

    async def write_to(
        self, receiver: str, text: str = "hi", custom: str = "", sender: str = ANNA
    ) -> str | None:
        """Write to a user, with a picture."""
        more: Any = {"receiver": receiver, "has_other_elements": True}
        return await self.write(sender, text, group="", custom=custom, **more)


@pytest.mark.parametrize(
    ("fields", "sender", "refusal"),
    [
        ({"bans": {ANNA: SOON}, "muted": {ANNA: SOON}}, ANNA, "banned"),
        ({"muted": {ANNA: SOON}, "mute_all": True}, ANNA, "muted"),
        ({"bans": {ANNA: PAST}, "muted": {ANNA: PAST}}, ANNA, None),
        ({"mute_all": True}, ANNA, "muted_all"),
        ({"mute_all": True}, HOST, None),
        ({"mute_all": True}, ADMIN, None),
    ],
)
async def test_the_room_decides_who_may_write(
    fields: dict[str, Any], sender: str, refusal: str | None
) -> None:
    fixture = CheckFixture()
    fixture.groups[GROUP] = room(**fields)
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
        ("[" * 100_000, "", "imitation"),
        ("{" * 3 + "}", "", None),
        ('{"type": "gift", "n": %s}' % ("1" * 5000), "", "imitation"),
        ("x", r'{"cmd": "\u0067ift"}', "imitation"),
        ("x", r'["\u793c\u7269"]', "imitation"),
        ("so bad", "", "words"),
        ("x", "so bad", "words"),
        ("a gift for you", "", None),
    ],
)
async def test_imitations_and_words_are_refused_in_a_group(
    text: str, custom: str, refusal: str | None
) -> None:
    assert await CheckFixture().write(ANNA, text, custom=custom) == refusal


async def test_between_users_blocks_and_words_count() -> None:
    fixture = CheckFixture()
    assert await fixture.write_to(HOST, "bad") == "words"
    fixture.pairs[ANNA, BERT] = True
    assert await fixture.write_to(BERT) == "blocked"
    assert await fixture.write_to(HOST) is None
    assert (fixture.reads, fixture.lines) == (["user", "pair", "words", "pair", "words"], [])


@pytest.mark.parametrize("kind", KINDS)
async def test_between_users_only_a_custom_element_of_a_host_may_be_like_an_invitation(
    kind: str,
) -> None:
    fixture, message = CheckFixture(), f'{{"type": "{kind}"}}'
    for sender, receiver in ((ANNA, HOST), (HOST, ANNA)):
        assert await fixture.write_to(receiver, message, sender=sender) == "imitation"
        as_custom = await fixture.write_to(receiver, custom=message, sender=sender)
        assert as_custom == (None if (sender, kind) == (HOST, "invite") else "imitation")
    as_both = await fixture.write_to(ANNA, '{"type": "over"}', '{"type": "invite"}', sender=HOST)
    assert as_both == "imitation"


async def test_a_user_without_a_membership_of_the_room_does_not_write_in_it() -> None:
    fixture = CheckFixture()
    del fixture.memberships[ANNA]
    fixture.memberships[BERT] = replace(fixture.memberships[BERT], live_id=2)
    assert [await fixture.write(user_id) for user_id in (ANNA, BERT)] == ["not_in_room"] * 2
    assert fixture.lines == []


async def test_a_group_has_no_pictures() -> None:
    assert await CheckFixture().write(has_other_elements=True) == "imitation"


async def test_an_error_that_is_not_of_mongodb_is_raised() -> None:
    fixture = CheckFixture()
    fixture.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await fixture.write_to(BERT)


async def test_a_user_who_writes_too_fast_is_refused_and_others_are_not() -> None:
    fixture = CheckFixture(Rate(0.001, 2))
    refusals = [await fixture.write() for _ in range(2)] + [await fixture.write_to(BERT, "bad")]
    assert refusals == [None, None, "rate"]
    assert fixture.reads.count("words") == 2, "no text of theirs is searched"
    assert await fixture.write(BERT) is None


async def test_allowed_lines_of_our_rooms_are_kept() -> None:
    fixture = CheckFixture()
    await fixture.write(ANNA, "one", "two")
    await fixture.write(BERT, "bad")
    await fixture.write(ANNA, "elsewhere", group=OTHER)
    await fixture.write(ANNA, "a room's former group", group="qlive_former")
    assert [(live_id, line.user_id, line.text) for live_id, line in fixture.lines] == [
        (1, ANNA, "one two")
    ]


async def test_nobody_writes_in_a_group_that_its_room_no_longer_has() -> None:
    fixture = CheckFixture()
    del fixture.groups[GROUP]
    assert await fixture.write() == "not_in_room"
    fixture.error = AutoReconnect()
    assert await fixture.write(group=f"{GROUP}2") is None, "in doubt it is allowed"


async def test_a_group_that_is_not_ours_is_left_alone() -> None:
    fixture = CheckFixture()
    assert await fixture.write(ANNA, "bad", group=OTHER) is None
    assert fixture.reads == []


async def test_a_banned_user_writes_to_no_one_and_may_again_once_the_ban_is_lifted(
    clock: Clock,
) -> None:
    """A ban that was set before this process began, too."""
    fixture = CheckFixture()
    fixture.people[ANNA] = replace(fixture.people[ANNA], banned=True)
    left = fixture.memberships.pop(ANNA)
    assert [await fixture.write(), await fixture.write_to(HOST)] == ["banned"] * 2
    fixture.people[ANNA] = replace(fixture.people[ANNA], banned=False)
    fixture.memberships[ANNA] = left
    clock.now += 1.1
    assert [await fixture.write(), await fixture.write_to(HOST)] == [None] * 2


# ---- what is remembered


async def test_mongodb_is_read_once_a_second_and_otherwise_memory_answers(clock: Clock) -> None:
    fixture = CheckFixture()
    for _ in range(5):
        await fixture.write()
    fixture.groups[GROUP] = room(mute_all=True)
    clock.now += 0.9
    assert await fixture.write() is None
    assert [fixture.reads.count(name) for name in ("room", "member", "user")] == [1, 1, 0]
    clock.now += 0.2
    assert [await fixture.write() for _ in range(2)] == ["muted_all"] * 2
    assert [fixture.reads.count(name) for name in ("room", "member", "user")] == [2, 2, 0]


async def test_without_an_answer_of_mongodb_the_last_one_counts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 * message_checks.WAIT_SECONDS < 0.2, "IM gets its answer within 200 ms"
    monkeypatch.setattr(message_checks, "WAIT_SECONDS", 0.01)
    fixture = CheckFixture()
    fixture.groups[GROUP] = room(mute_all=True)
    fixture.pairs[ANNA, BERT] = True
    fixture.gate.clear()
    assert [await fixture.write(), await fixture.write_to(BERT)] == [None, None]
    assert await fixture.write(ANNA, "bad") == "words"
    fixture.error = AutoReconnect()
    fixture.gate.set()
    assert await fixture.write() is None
    assert fixture.lines == []
    fixture.error = None
    answers = [await fixture.write(), await fixture.write_to(BERT)]
    assert answers == ["muted_all", "blocked"]
    clock.now += 60
    fixture.error = AutoReconnect()
    assert [await fixture.write(), await fixture.write_to(BERT)] == answers


def test_codes_are_in_the_ranges_that_im_passes_on() -> None:
    assert refusal_code("banned", in_group=True) == 10100
    assert refusal_code("imitation", in_group=True) == 10104
    assert refusal_code("banned", in_group=False) == 120001
    assert refusal_code("rate", in_group=False) == 120007
    assert refusal_code("not_in_room", in_group=True) == 10107


async def test_in_a_private_live_a_sender_who_is_no_known_member_is_refused() -> None:
    fixture = CheckFixture()
    fixture.groups[GROUP] = room(visibility="private")
    assert await fixture.write(ANNA) is None
    fixture.memberships[BERT] = replace(fixture.memberships[BERT], live_id=2)
    assert await fixture.write(BERT) == "not_in_room"
    fixture.error = AutoReconnect()
    assert await fixture.write(HOST) == "not_in_room", "the database does not say that they are"
