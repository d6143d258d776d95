"""The state machine of what is checked and decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.retry import MODERATION
from rooms.moderation import (
    ANSWER_WITHIN,
    MAX_TRIES,
    Item,
    State,
    Suggestion,
    Verdict,
)

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def item(**fields: Any) -> Item:
    values = {"value": "new", "before": "old", "due_at": NOW, **fields}
    return Item("1", "nickname", "10000001", NOW, **values)


@pytest.mark.parametrize(
    ("suggestion", "shown", "state", "applies", "shows"),
    [
        ("pass", False, "approved", True, "new"),
        ("pass", True, "approved", False, "new"),
        ("risky", False, "refused", False, None),
        ("risky", True, "refused", True, "old"),
        ("review", False, "review", False, None),
        ("review", True, "review", False, "new"),
    ],
)
def test_a_verdict_changes_what_others_see_only_if_it_differs(
    suggestion: Suggestion, shown: bool, state: State, applies: bool, shows: str | None
) -> None:
    noted = item(shown=shown).note_verdict(Verdict(suggestion, "20002", "t1"), NOW)
    assert (noted.state, noted.label, noted.trace_id) == (state, "20002", "t1")
    assert (noted.must_apply, noted.value_to_show) == (applies, shows)
    assert noted.is_open == (state == "review")
    assert noted.decided_by == ("" if state == "review" else "check")
    assert not noted.note_applied().must_apply


def test_a_picture_without_a_result_is_sent_once_more_and_then_waits_for_a_person() -> None:
    picture = item().note_sent("t1", NOW)
    assert (picture.state, picture.trace_id) == ("checking", "t1")
    assert picture.due_at == NOW + ANSWER_WITHIN
    picture = picture.note_failure(NOW)
    assert (picture.state, picture.due_at) == ("unchecked", NOW + MODERATION.then)
    picture = picture.note_sent("t2", NOW).note_failure(NOW)
    assert (picture.state, picture.due_at) == ("review", None)


def test_failed_checks_are_repeated_for_an_hour_and_then_wait_for_a_person() -> None:
    text, waited = item(), timedelta()
    for _ in range(MAX_TRIES - 1):
        text = text.note_failure(NOW)
        assert text.state == "unchecked"
        assert text.due_at is not None
        pause = text.due_at - NOW
        assert timedelta(seconds=2) <= pause <= MODERATION.then
        waited += pause
    assert timedelta(minutes=30) < waited < timedelta(hours=1)
    assert text.note_failure(NOW).state == "review"


@pytest.mark.parametrize("state", ["unchecked", "checking", "review"])
def test_an_operator_decides_whatever_is_open(state: State) -> None:
    approved = item(state=state).decide("olga", "", NOW, approved=True)
    assert (approved.state, approved.decided_by, approved.must_apply) == ("approved", "olga", True)
    refused = item(state=state).decide("olga", "advertising", NOW, approved=False)
    assert (refused.state, refused.decision, refused.decided_at) == ("refused", "advertising", NOW)
    assert not refused.must_apply
    shown = item(state=state, shown=True)
    assert shown.decide("olga", "", NOW, approved=False).value_to_show == "old"


@pytest.mark.parametrize("shown", [True, False])
def test_an_undone_refusal_allows_the_value_and_shows_nothing(shown: bool) -> None:
    by_check = item(shown=shown).note_verdict(Verdict("risky"), NOW).note_applied()
    by_operator = item(shown=shown).decide("olga", "", NOW, approved=False).note_applied()
    for refused in (by_check, by_operator):
        assert not refused.may_be_decided(approved=False)
        assert refused.may_be_decided(approved=True)
        undone = refused.decide("pavel", "", NOW, approved=True)
        assert (undone.state, undone.decided_by, undone.must_apply) == ("approved", "pavel", False)
        assert undone.is_allowed
        assert not undone.may_be_decided(approved=False)
    assert not replace(by_operator, kind="report").may_be_decided(approved=True)
    assert not item().note_verdict(Verdict("pass"), NOW).is_allowed
    picture = replace(item(), kind="face").decide("olga", "", NOW, approved=True)
    assert not picture.is_allowed


def test_a_superseded_item_is_never_applied() -> None:
    approved = item().decide("olga", "", NOW, approved=True)
    refused = item(shown=True).decide("olga", "", NOW, approved=False)
    for decided in (item(), approved, refused):
        superseded = decided.supersede(NOW)
        assert (superseded.state, superseded.is_open, superseded.must_apply) == (
            "superseded",
            False,
            False,
        )
    assert not replace(item(), state="review").must_apply
