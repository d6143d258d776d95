"""Listening sockets."""

import socket
from collections.abc import Iterator

import pytest

from runtime.process import ACCEPTS_AT_ONCE, PacedListener, listen


@pytest.fixture
def listener() -> Iterator[PacedListener]:
    bound = listen("127.0.0.1", 0)[0]
    with PacedListener.over(bound) as paced:
        assert bound.fileno() == -1
        yield paced


def accept_all(listener: PacedListener) -> int:
    """Accept as the event loop does: until there is nothing to accept."""
    accepted = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return accepted
        accepted += 1


def test_connections_are_accepted_in_portions(listener: PacedListener) -> None:
    clients = [socket.create_connection(listener.getsockname()) for _ in range(ACCEPTS_AT_ONCE + 1)]
    assert [accept_all(listener) for _ in range(3)] == [ACCEPTS_AT_ONCE, 1, 0]
    clients += [socket.create_connection(listener.getsockname()) for _ in range(ACCEPTS_AT_ONCE)]
    assert accept_all(listener) == ACCEPTS_AT_ONCE, "portions begin anew"
    for client in clients:
        client.close()
