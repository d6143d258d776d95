"""Agreements to notices, and when a notice is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from people.notices import SEEN_EVENTS, SIX_HOURS_MS, Consent, NotDue

EVENING = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1000)
MIDNIGHT = int(datetime(2026, 11, 28, 16, tzinfo=UTC).timestamp() * 1000)
"""20:00, and midnight, in China."""
DAY_MS = int(timedelta(days=1).total_seconds() * 1000)


def consent(count: int = 1, **fields: Any) -> Consent:
    return Consent("anna:T", "anna", count, **fields)


def taken(given: Consent, *host_ids: str, at: int = EVENING) -> Consent:
    """The consent after a notice of each of these hosts."""
    for host_id in host_ids:
        given = given.take(host_id, at, 3)
    return given


def test_each_agreement_counts_once_however_often_its_event_comes() -> None:
    given = consent(0)
    for event, at in (("popup:1", 1), ("popup:1", 1), ("popup:2", 2), ("popup:1", 1)):
        given = given.note_event(event, at, accepted=True)
    assert given.count == 2


def test_the_last_events_are_remembered() -> None:
    given = consent(0)
    for at in range(1, SEEN_EVENTS + 2):
        given = given.note_event(f"popup:{at}", at, accepted=True)
    assert [*given.seen] == [f"popup:{at}" for at in range(2, SEEN_EVENTS + 2)]


def test_a_refusal_clears_all_agreements_that_are_not_later() -> None:
    given = consent(2).note_event("change:5", 5, accepted=False)
    assert (given.count, given.refused_at) == (0, 5)
    for at in (4, 5):
        given = given.note_event(f"popup:{at}", at, accepted=True)
    assert given.count == 0, "they were before it, or at the same time"
    assert given.note_event("popup:6", 6, accepted=True).count == 1
    assert given.note_event("popup:3", 3, accepted=False).refused_at == 5


def test_a_notice_takes_one_agreement_and_none_is_due_without() -> None:
    given = taken(consent(), "host")
    assert given.count == 0
    with pytest.raises(NotDue):
        given.take("other", EVENING, 3)


def test_a_host_sends_at_most_one_notice_in_six_hours() -> None:
    given = taken(consent(3), "host")
    with pytest.raises(NotDue):
        given.take("host", EVENING + SIX_HOURS_MS - 1, 3)
    after = taken(given, "host", at=EVENING + SIX_HOURS_MS)
    assert [*after.hosts] == ["host"]
    later = taken(given, "other", at=EVENING + SIX_HOURS_MS)
    assert [*later.hosts] == ["other"], "what is older than six hours is forgotten"


def test_a_user_receives_so_many_notices_in_a_day_in_china() -> None:
    given = taken(consent(9), "one", "two", "three")
    with pytest.raises(NotDue):
        given.take("four", MIDNIGHT - 1, 3)
    assert taken(given, "four", "five", "six", at=MIDNIGHT).day == "2026-11-29"


def test_a_notice_that_was_not_sent_returns_its_agreement_and_its_place() -> None:
    before = consent(1)
    given = taken(before, "host").give_back("host")
    assert (given.count, given.day_count, given.hosts) == (1, 0, {})
    assert given.give_back("host") == given
    assert taken(given, "host").count == 0


def test_a_notice_that_was_sent_or_refused_since_returns_nothing() -> None:
    sent = taken(consent(), "host").note_sent("host", "m1")
    assert sent.give_back("host") == sent
    refused = taken(consent(2), "host").note_event("popup:1", 1, accepted=False)
    assert refused.give_back("host").count == 0


def test_a_message_is_settled_by_its_number() -> None:
    given = taken(consent(3), "host").note_sent("host", "m1")
    assert given.note_delivered("m2") == given
    delivered = given.note_delivered("m1")
    assert (delivered.count, delivered.hosts["host"]["outcome"]) == (2, "sent")


@pytest.mark.parametrize("given", [consent(0), consent(2)])
def test_what_comes_too_late_changes_nothing(given: Consent) -> None:
    assert given.note_sent("host", "m1") == given
    assert given.give_back("host") == given
