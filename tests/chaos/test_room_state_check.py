from types import SimpleNamespace
from typing import Any

import pytest

from chaos.room_state_check import room_state_violations

HOST = {"user_id": "1", "gender": 2, "away": False}
MAN = {"user_id": "2", "gender": 1, "away": False}
APPLICANT = {"user_id": "3", "gender": 2, "applied_at": 1}
ROOM: Any = SimpleNamespace(
    live_id=7,
    host=SimpleNamespace(id="1", gender=2),
    guests=[SimpleNamespace(id=str(n), gender=1 + n % 2) for n in (2, 3, 4)],
)
VALID: dict[str, Any] = {
    "status": "live",
    "owner": HOST,
    "male": MAN,
    "female": None,
    "applicants": [APPLICANT],
    "audience_count": 4,
    "num_list": [0, 2, 1, 1],
}


def found(**changes: Any) -> list[str]:
    return [kind for kind, _ in room_state_violations(ROOM, {**VALID, **changes})]


def test_a_room_with_all_members_present_is_valid() -> None:
    assert found() == []
    invited = {**APPLICANT, "applied_at": None}
    assert found(applicants=[invited], num_list=[0, 2, 0, 1]) == []


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"status": "paused"}, ["still_away"]),
        ({"status": "ended"}, ["still_away"]),
        ({"owner": {**HOST, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "user_id": "9"}}, ["stale_user"]),
        ({"applicants": [{**APPLICANT, "user_id": "9"}]}, ["stale_user"]),
        ({"applicants": []}, ["wrong_counts"]),
        ({"audience_count": 5}, ["wrong_counts"]),
        ({"audience_count": 3}, ["wrong_counts"]),
        ({"num_list": [0, 3, 1, 1]}, ["wrong_counts"]),
        ({"num_list": [1, 2, 1, 1]}, ["wrong_counts"]),
    ],
)
def test_stale_absent_and_miscounted_users_are_found(
    changes: dict[str, Any], kinds: list[str]
) -> None:
    assert found(**changes) == kinds
