"""Listening sockets."""

import socket
from collections.abc import Iterator

import pytest

from runtime.listeners import (
    ACCEPTS_AT_ONCE,
    PacedListener,
    WorkerSockets,
    listen,
    listen_workers,
)
from tests.support.ports import free_ports


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


def test_sockets_of_a_slot_are_closed_and_bound_to_the_same_ports() -> None:
    (opened,) = listen_workers("127.0.0.1", free_ports(2), 1, own_ports=True)
    ports = [sock.getsockname()[1] for sock in opened]
    slot = WorkerSockets(opened)
    slot.bind()
    assert slot.listening == opened, "they are open"
    slot.close()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    slot.bind()
    assert [sock.getsockname()[1] for sock in slot.listening] == ports
    shared = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for sock in slot.listening]
    assert [bool(it) for it in shared] == [True, False]
    slot.close()
