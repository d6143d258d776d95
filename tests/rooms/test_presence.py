"""How long somebody's connection may be gone, by what they are in the room."""

import pytest

from rooms.people import Role
from rooms.presence import Patience

PATIENCE = Patience(shown=1, viewer=20, guest=300, host=4_000)


@pytest.mark.parametrize(
    ("role", "silent", "streaming"),
    [
        ("viewer", 20, 20),
        ("applied", 20, 20),
        ("male", 300, 600),
        ("female", 300, 600),
        ("host", 4_000, 4_000),
    ],
)
def test_every_role_has_its_patience_and_a_guests_picture_doubles_it(
    role: Role, silent: int, streaming: int
) -> None:
    assert PATIENCE.of(role, streams=False) == silent
    assert PATIENCE.of(role, streams=True) == streaming
