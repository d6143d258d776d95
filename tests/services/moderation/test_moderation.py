"""Checks, the queue and decisions, with the simulated WeChat."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from core.errors import TryAgain
from rooms.moderation import Item
from runtime import jobs
from runtime.process import ServerProcess
from services.errors import ContentRefused
from storage.errors import AlreadyDecided, StorageUnavailable
from tencent import service_client, wechat
from tencent.wechat import ANSWER_SECONDS
from tests.support.api import ApiClient, ApiFixture
from tests.support.hypothesis_profiles import LONG_PROFILE
from tests.support.moderation import ModerationFixture
from tests.support.races import run_before
from tests.support.waiting import recorded_timeouts, until

FIELD = {"nickname": "nickname", "face": "face_url", "room_name": "room_name", "cover": "cover"}
KINDS = tuple(FIELD)
RUNS, STEPS = (60, 120) if LONG_PROFILE else (3, 40)


def picture(words: str) -> str:
    return f"https://pictures.example.com/{words}.jpg"


def shown_of(words: str) -> dict[str, str]:
    """Values of all kinds, none of which a check decides at once."""
    named = {"nickname": f"review {words}", "room_name": f"review {words}'s"}
    pictures = {"face": picture(f"review-{words}"), "cover": picture(f"review-c-{words}")}
    return named | pictures


def proposed(words: str) -> dict[str, str]:
    return {FIELD[kind]: value for kind, value in shown_of(words).items()}


PROPOSED = ("Annie", picture("a"), "Annie's", picture("b"))


@pytest.fixture
def has_bucket() -> bool:
    """A test names pictures by addresses with the words it wants."""
    return False


@pytest.fixture
def moderation(server: ServerProcess, db: Any) -> ModerationFixture:
    return ModerationFixture(server, db)


@pytest.fixture
def policy() -> str:
    return "hide_until_checked"


@pytest.fixture
def changes(policy: str) -> dict[str, Any]:
    return {"moderation": dict.fromkeys(KINDS, policy)}


shown_until_refused = pytest.mark.parametrize("policy", ["show_until_refused"])


@pytest.fixture
def anna(io_loop: Any, api: ApiFixture, moderation: ModerationFixture) -> ApiClient:
    user: ApiClient = io_loop.run_sync(lambda: api.user("anna", 2))
    return user


# ---- texts


async def test_a_text_that_passes_is_shown_at_once(
    moderation: ModerationFixture, anna: ApiClient
) -> None:
    assert (await moderation.change(anna.id, nickname="Annie")).nickname == "Annie"
    await moderation.change(anna.id, room_name="Annie's")
    assert (await moderation.shown(anna.id))["room_name"] == "Annie's"
    assert await moderation.items.in_review(anna.id) == {}
    assert moderation.checks.checked == ["Annie", "Annie's"]
    assert await moderation.told(anna.id) == [], "the answers have told it"
    assert await moderation.step() == 0
    await moderation.change(anna.id, nickname="Annie")  # as it is
    assert len(moderation.checks.checked) == 2


@pytest.mark.parametrize(("name", "is_sent"), [("risky", True), ("来 加-V-X", False)])
async def test_a_risky_text_and_a_listed_word_are_refused(
    moderation: ModerationFixture, anna: ApiClient, name: str, is_sent: bool
) -> None:
    for kind in ("nickname", "room_name"):
        with pytest.raises(ContentRefused) as refusal:
            await moderation.change(anna.id, **{kind: name})
        assert refusal.value.fields.keys() == {kind}
    assert moderation.checks.checked == ([name] * 2 if is_sent else [])
    assert (await moderation.shown(anna.id))["nickname"] == "anna"
    item = await moderation.latest(anna.id)
    assert (item.state, item.decided_by) == ("refused", "check")
    assert item.label == ("20002" if is_sent else "words")


async def test_a_text_in_doubt_waits_for_an_operator(
    moderation: ModerationFixture, anna: ApiClient
) -> None:
    await moderation.change(anna.id, nickname="review me")
    await moderation.change(anna.id, nickname="review me")  # sent again: it is in the queue already
    assert moderation.checks.checked == ["review me"]
    assert await moderation.items.in_review(anna.id) == {"nickname": "review me"}
    assert (await moderation.shown(anna.id))["nickname"] == "anna"
    item = await moderation.latest(anna.id)
    await moderation.service.decide(item.id, item.state, "olga", approved=True)
    assert (await moderation.shown(anna.id))["nickname"] == "review me"
    assert await moderation.items.in_review(anna.id) == {}
    with pytest.raises(AlreadyDecided):
        await moderation.service.decide(item.id, "approved", "pavel", "rude", approved=False)
    assert await moderation.told(anna.id) == [{"what": "nickname", "outcome": "shown"}]


async def test_ten_minutes_without_wechat_delay_nobody_show_nothing_and_need_no_operator(
    api: ApiFixture,
    moderation: ModerationFixture,
    anna: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_client, "PAUSE_SECONDS", 0)
    assert ANSWER_SECONDS <= 2
    timeouts = recorded_timeouts(monkeypatch, wechat)
    before, values = await moderation.shown(anna.id), dict(zip(KINDS, PROPOSED, strict=True))
    await api.outage("content", seconds=600)
    with monkeypatch.context() as patch:
        patch.setattr(wechat, "ANSWER_SECONDS", ANSWER_SECONDS)
        change = asyncio.create_task(moderation.change(anna.id, nickname="Annie"))
        await until(lambda: timeouts)
    ends_at = timeouts[0].when()
    assert ends_at is not None
    assert ends_at <= asyncio.get_running_loop().time() + ANSWER_SECONDS
    timeouts[0].reschedule(0)
    assert (await change).nickname == "anna"
    await api.outage("content", status=500)
    await moderation.change(anna.id, **{FIELD[kind]: values[kind] for kind in KINDS})
    with pytest.raises(ContentRefused):
        await moderation.change(anna.id, nickname="约 炮")
    waited = timedelta()
    while waited < timedelta(minutes=10):
        items = (await moderation.items.open_of(anna.id)).values()
        assert {item.state for item in items} == {"unchecked"}
        waited += min(item.due_at for item in items if item.due_at) - datetime.now(UTC)
        assert await moderation.step() == len(KINDS)
        assert await moderation.shown(anna.id) == before
    assert len(await moderation.items.in_review(anna.id)) == len(KINDS)
    await api.outage("content")
    await moderation.step()
    assert await moderation.shown(anna.id) == values
    assert await moderation.items.in_review(anna.id) == {}


# ---- pictures


@pytest.mark.parametrize("kind", ["face", "cover"])
@pytest.mark.parametrize("words", ["pass", "twice", "early"])
async def test_a_picture_is_shown_after_its_event(
    moderation: ModerationFixture, anna: ApiClient, kind: str, words: str
) -> None:
    await moderation.change(anna.id, **{FIELD[kind]: picture(words)})
    assert (await moderation.shown(anna.id))[kind] == ""
    assert await moderation.step() == 1
    assert (await moderation.shown(anna.id))[kind] == picture(words)
    item = await moderation.latest(anna.id)
    assert (item.state, item.label, item.decided_by) == ("approved", "100", "check")
    assert await moderation.step() == 0
    assert await moderation.told(anna.id) == [{"what": kind, "outcome": "shown"}]


@pytest.mark.parametrize("words", ["missing", "unreadable", "forged"])
async def test_a_picture_without_a_result_is_sent_again_and_then_waits_for_an_operator(
    moderation: ModerationFixture, anna: ApiClient, words: str
) -> None:
    await moderation.change(anna.id, cover=picture(words))
    for _ in range(4):
        await moderation.step()
    item = await moderation.latest(anna.id)
    assert item.state == "review"
    assert moderation.checks.checked == [picture(words)] * 2
    assert (await moderation.shown(anna.id))["cover"] == ""
    for content in moderation.checks.events:  # too late
        await moderation.send(content)
    assert (await moderation.latest(anna.id)).state == "review"
    await moderation.service.decide(item.id, item.state, "olga", approved=True)
    assert (await moderation.shown(anna.id))["cover"] == picture(words)


async def test_events_that_match_nothing_are_ignored_and_forged_ones_refused(
    moderation: ModerationFixture, anna: ApiClient, db: Any
) -> None:
    await moderation.send(moderation.checks.event("pass", "unknown"))
    row = db.inbox.find_one({"_id": {"$regex": "^xpay:wxa_media_check:unknown:"}})
    assert (row["outcome"], row["reason"]) == ("ignored", "unknown_picture")
    await moderation.send({**moderation.checks.event("pass", ""), "trace_id": None})
    await moderation.send(moderation.checks.event("pass", "other"), "forged")
    assert moderation.delivery.statuses == [200, 403, 403]
    await moderation.change(anna.id, face_url=picture("review"))
    await moderation.step()
    [event] = moderation.checks.events
    moderation.delivery.statuses.clear()
    await moderation.send({**event, "CreateTime": 1})  # no longer awaited
    assert moderation.delivery.statuses == [200]


# ---- what others see, whatever happens


@shown_until_refused
async def test_what_is_shown_until_refused_returns_to_the_last_checked_value(
    moderation: ModerationFixture, anna: ApiClient
) -> None:
    await moderation.change(anna.id, face_url=picture("first"), room_name="a room")
    await moderation.change(anna.id, room_name="a room")
    await moderation.step()
    for words in ("review", "missing"):
        await moderation.change(anna.id, face_url=picture(words), nickname=f"review {words}")
        await moderation.change(anna.id, room_name=f"review {words}", cover=picture(words))
        assert [*(await moderation.shown(anna.id)).values()] == [
            f"review {words}",
            picture(words),
            f"review {words}",
            picture(words),
        ]
    for item in (await moderation.items.open_of(anna.id)).values():
        await moderation.service.decide(item.id, item.state, "olga", "advertising", approved=False)
    shown = await moderation.shown(anna.id)
    assert shown == {
        "nickname": "anna",
        "face": picture("first"),
        "room_name": "a room",
        "cover": "",
    }
    told = [(event["what"], event["outcome"]) for event in await moderation.told(anna.id)]
    assert told[0] == ("face", "shown")
    assert sorted(told[1:]) == sorted((kind, "refused") for kind in KINDS)


@shown_until_refused
@pytest.mark.parametrize(("name", "kind"), [("nickname", "face"), ("room_name", "cover")])
async def test_a_picture_that_was_replaced_while_a_name_was_checked_is_not_shown_unchecked(
    moderation: ModerationFixture, anna: ApiClient, name: str, kind: str
) -> None:
    await moderation.change(anna.id, **{FIELD[kind]: picture("first")})
    replaced = {FIELD[kind]: picture("second")}
    client = moderation.context.tencent.content_security
    run_before(client, "check_text", lambda: moderation.change(anna.id, **replaced))
    with pytest.raises(TryAgain):
        await moderation.change(anna.id, **{name: "Annie", FIELD[kind]: picture("first")})
    assert (await moderation.shown(anna.id))[kind] == picture("second")
    [item] = (await moderation.items.open_of(anna.id)).values()
    assert (item.value, item.before) == (picture("second"), "")


@shown_until_refused
@pytest.mark.parametrize(("name", "kind"), [("nickname", "face"), ("room_name", "cover")])
async def test_a_picture_that_was_refused_while_a_name_was_checked_does_not_come_back(
    moderation: ModerationFixture, anna: ApiClient, name: str, kind: str
) -> None:

    async def refuse() -> None:
        item = await moderation.latest(anna.id, kind)
        await moderation.service.decide(item.id, item.state, "olga", approved=False)

    await moderation.change(anna.id, **{FIELD[kind]: picture("first")})
    run_before(moderation.context.tencent.content_security, "check_text", refuse)
    await moderation.change(anna.id, **{name: "Annie", FIELD[kind]: picture("second")})
    assert (await moderation.shown(anna.id))[kind] == picture("second")
    await refuse()
    assert (await moderation.shown(anna.id))[kind] == ""


@shown_until_refused
@pytest.mark.parametrize("second_is_applied", ["at once", "after the third"])
@pytest.mark.parametrize("refused_in", ["propose", "put", "shown", "none"])
async def test_what_was_approved_comes_back_after_two_refusals_in_any_order(
    moderation: ModerationFixture,
    anna: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    refused_in: str,
    second_is_applied: str,
) -> None:
    """The second value is refused within the request for the third, or after it in the store."""
    await moderation.change(anna.id, **proposed("first"))
    await moderation.step()
    for item in (await moderation.items.open_of(anna.id)).values():
        await moderation.service.decide(item.id, item.state, "olga", approved=True)
    await moderation.change(anna.id, **proposed("second"))
    second = [*(await moderation.items.open_of(anna.id)).values()]

    async def refuse() -> None:
        with monkeypatch.context() as patch:
            if second_is_applied != "at once":
                effects = dict.fromkeys(KINDS, AsyncMock(side_effect=StorageUnavailable))
                patch.setattr(moderation.service, "effects", effects)
            for item in second:
                with suppress(StorageUnavailable, AlreadyDecided):
                    await moderation.service.decide(item.id, item.state, "olga", approved=False)

    owner = moderation.proposals if refused_in == "propose" else moderation.items
    run_before(owner, refused_in, refuse) if refused_in != "none" else await refuse()
    await moderation.change(anna.id, **proposed("third"))
    assert await moderation.shown(anna.id) == shown_of("third")
    if second_is_applied == "after the third":
        await moderation.step()
    for item in (await moderation.items.open_of(anna.id)).values():
        await moderation.service.decide(item.id, item.state, "olga", approved=False)
    await moderation.step()
    assert await moderation.shown(anna.id) == shown_of("first")


@shown_until_refused
async def test_a_cover_that_is_refused_before_its_room_shows_it_is_not_shown(
    moderation: ModerationFixture, anna: ApiClient
) -> None:

    async def refuse() -> None:
        item = await moderation.latest(anna.id, "cover")
        await moderation.service.decide(item.id, item.state, "olga", approved=False)

    run_before(moderation.context.room_changes, "change_with", refuse)
    await moderation.change(anna.id, cover=picture("first"))
    assert (await moderation.shown(anna.id))["cover"] == ""


@shown_until_refused
@pytest.mark.parametrize("is_applied", [True, False])
async def test_what_was_refused_is_not_proposed_again_not_even_while_it_is_shown(
    moderation: ModerationFixture,
    anna: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    is_applied: bool,
) -> None:
    """A request may have read the value before its refusal was applied."""
    stores, services = moderation.context.stores, moderation.context.services
    await moderation.change(anna.id, nickname="review", face_url=picture("review"))
    as_read = await stores.users.get(anna.id)
    with monkeypatch.context() as patch:
        if not is_applied:
            effects = dict.fromkeys(KINDS, AsyncMock(side_effect=StorageUnavailable))
            patch.setattr(moderation.service, "effects", effects)
        for item in (await moderation.items.open_of(anna.id)).values():
            with suppress(StorageUnavailable):
                await moderation.service.decide(item.id, item.state, "olga", approved=False)
    for value in ({"nickname": "review"}, {"face_url": picture("review")}):
        with pytest.raises(ContentRefused):
            await services.accounts.profiles.update(as_read, **value)
    await moderation.step()
    shown = await moderation.shown(anna.id)
    assert (shown["nickname"], shown["face"]) == ("anna", "")


@pytest.mark.parametrize("words", ["risky", "review", "约 炮"])
async def test_a_value_whose_refusal_was_undone_is_shown_once_it_is_proposed_again(
    moderation: ModerationFixture, anna: ApiClient, words: str
) -> None:
    with suppress(ContentRefused):
        await moderation.change(anna.id, nickname=words)
    refused = await moderation.latest(anna.id)
    if refused.is_open:
        await moderation.service.decide(refused.id, refused.state, "olga", approved=False)
    await moderation.service.decide(refused.id, "refused", "pavel", approved=True)
    assert (await moderation.shown(anna.id))["nickname"] == "anna"
    assert (await moderation.change(anna.id, nickname=words)).nickname == words
    with pytest.raises(AlreadyDecided):
        await moderation.service.decide(refused.id, "approved", "olga", approved=False)


async def test_an_approval_does_not_show_what_its_owner_has_replaced_meanwhile(
    moderation: ModerationFixture, anna: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the decision is applied, nor by the job if its process died."""
    effects = dict(moderation.service.effects)

    async def replace_first(item: Item, confirm: Any) -> None:
        await moderation.change(anna.id, **{item.kind: "newer"})
        await effects[item.kind](item, confirm)

    for kind in ("nickname", "room_name"):
        await moderation.change(anna.id, **{kind: "review"})
        item = await moderation.latest(anna.id)
        with monkeypatch.context() as patch:
            patch.setattr(moderation.service, "effects", {kind: replace_first})
            await moderation.service.decide(item.id, item.state, "olga", approved=True)
        assert (await moderation.shown(anna.id))[kind] == "newer"
        assert (await moderation.items.get(item.id)).state == "superseded"
        assert await moderation.step() == 0


class Chaos:
    """Random proposals, verdicts, events that are lost, late or reordered, and decisions."""

    def __init__(self, moderation: ModerationFixture, user_id: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self._moderation = moderation
        self._user_id = user_id
        self._actions: list[Callable[[int], Awaitable[object]]] = [
            *(self.propose, self.propose, self.decide, self.report),
            lambda _number: moderation.step(),
        ]

    async def act(self, number: int) -> None:
        with suppress(StorageUnavailable, ContentRefused, AlreadyDecided):
            await self.chance.choice(self._actions)(number)

    async def propose(self, number: int) -> None:
        kind = self.chance.choice(KINDS)
        words = self.chance.choice(["pass", "review", "risky", "missing", "early", "61010"])
        value = picture(f"{words}{number}") if kind in ("face", "cover") else f"{words} {number}"
        await self._moderation.change(self._user_id, **{FIELD[kind]: value})

    async def decide(self, _number: int) -> None:
        service = self._moderation.service
        for item in (await self._moderation.items.open_of(self._user_id)).values():
            await service.decide(item.id, item.state, "olga", approved=self.chance.random() < 0.5)

    async def report(self, _number: int) -> None:
        if events := self._moderation.checks.events:
            await self._moderation.send(self.chance.choice(events))


@pytest.mark.parametrize("policy", ["hide_until_checked", "show_until_refused"])
@pytest.mark.parametrize("seed", range(RUNS))
async def test_others_see_the_last_approved_value_whatever_happens(
    moderation: ModerationFixture,
    anna: ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    seed: int,
) -> None:
    """Also if processes die before or after they apply a decision."""
    chaos, before = Chaos(moderation, anna.id, seed), await moderation.shown(anna.id)
    with monkeypatch.context() as patch:
        dying(moderation, patch, chaos.chance)
        for number in range(STEPS):
            await chaos.act(number)
            items, _ = await moderation.items.page("", 1000, state="approved", user_id=anna.id)
            approved = {(item.kind, item.value) for item in items} | {*before.items()}
            shown = await moderation.shown(anna.id)
            assert policy == "show_until_refused" or approved >= {*shown.items()}, number
    await chaos.decide(0)
    await moderation.step()
    assert not await moderation.items.open_of(anna.id)
    shown = await moderation.shown(anna.id)
    for kind in KINDS:
        items, _ = await moderation.items.page("", 1, kind=kind, state="approved", user_id=anna.id)
        assert shown[kind] == (items[0].value if items else before[kind]), kind


def dying(moderation: ModerationFixture, patch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Every third application of a decision fails, half of them after it was carried out."""
    effects = dict(moderation.service.effects)

    async def apply(item: Any, confirm: Any) -> None:
        dies = chance.random() < 1 / 3
        if dies and chance.random() < 0.5:
            raise StorageUnavailable
        await effects[item.kind](item, confirm)
        if dies:
            raise StorageUnavailable

    patch.setattr(moderation.service, "effects", dict.fromkeys(effects, apply))


async def test_open_items_are_measured(
    api: ApiFixture, moderation: ModerationFixture, anna: ApiClient
) -> None:
    await moderation.change(anna.id, nickname="review")
    await jobs.measure_metrics(moderation.context)
    metrics = await api.metrics()
    assert metrics['qlive_moderation_open{kind="nickname"}'] == 1
    assert metrics['qlive_moderation_oldest_seconds{kind="nickname"}'] >= 0
