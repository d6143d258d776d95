import pytest

from rooms.members import GracePolicy, Role

POLICY = GracePolicy(shown=1, viewer=20, guest=300, host=4_000)


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
def test_grace_periods_depend_on_the_role_and_double_for_a_streaming_guest(
    role: Role, silent: int, streaming: int
) -> None:
    assert POLICY.of(role, streams=False) == silent
    assert POLICY.of(role, streams=True) == streaming
