from types import SimpleNamespace
from typing import Any

import pytest

from chaos.places import wrong_in

HOST = {"user_id": "1", "gender": 2, "away": False}
MAN = {"user_id": "2", "gender": 1, "away": False}
ASKS = {"user_id": "3", "gender": 2, "applied_at": 1}
STAGE: Any = SimpleNamespace(
    live_id=7,
    host=SimpleNamespace(id="1", gender=2),
    people=[SimpleNamespace(id=str(n), gender=1 + n % 2) for n in (2, 3, 4)],
)
SOUND: dict[str, Any] = {
    "status": "live",
    "owner": HOST,
    "male": MAN,
    "female": None,
    "applicants": [ASKS],
    "audience_count": 4,
    "num_list": [0, 2, 1, 1],
}


def found(**other: Any) -> list[str]:
    return [kind for kind, _ in wrong_in(STAGE, {**SOUND, **other})]


def test_a_room_in_which_all_are_there_is_sound() -> None:
    assert found() == []
    invited = {**ASKS, "applied_at": None}
    assert found(applicants=[invited], num_list=[0, 2, 0, 1]) == []


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        ({"status": "paused"}, ["still_away"]),
        ({"status": "ended"}, ["still_away"]),
        ({"owner": {**HOST, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "user_id": "9"}}, ["ghost"]),
        ({"applicants": [{**ASKS, "user_id": "9"}]}, ["ghost"]),
        ({"applicants": []}, ["counts"]),
        ({"audience_count": 5}, ["counts"]),
        ({"audience_count": 3}, ["counts"]),
        ({"num_list": [0, 3, 1, 1]}, ["counts"]),
        ({"num_list": [1, 2, 1, 1]}, ["counts"]),
    ],
)
def test_whoever_should_not_be_there_or_is_not_is_found(
    other: dict[str, Any], kinds: list[str]
) -> None:
    assert found(**other) == kinds
