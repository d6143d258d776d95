"""Lost and restored connections, removed users and ended sessions: events and close codes.

tests/rooms, tests/storage/rooms and tests/services/rooms show the rules of absences.
"""

from typing import Any

import pytest

from rooms.members import GracePolicy
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.mic import take_seat, user_type

SHORT = GracePolicy(shown=100, viewer=600, guest=500, host=800)
"""Absent users lose seat and membership soon."""


@pytest.fixture
def grace() -> GracePolicy:
    """Absences are shown soon, and users have the usual time to return."""
    return GracePolicy(shown=200)


async def guest_on_mic(api: ApiFixture, host: ApiClient) -> ApiClient:
    guest = await api.guest("bert", 1, host.live_id)
    await take_seat(guest)
    return guest


async def read_events(socket: Socket, *types: str) -> list[dict[str, Any]]:
    """The data of the next events, whose types are checked."""
    return [(await socket.next(type_))["data"] for type_ in types]


# ---- lost connections


@pytest.mark.parametrize("grace", [SHORT])
async def test_users_who_do_not_reconnect_lose_seat_application_and_live(api: ApiFixture) -> None:
    host = await api.host()
    guest, applicant = await guest_on_mic(api, host), await api.guest("carl", 1, host.live_id)
    unconnected = await api.guest("anna", 2, host.live_id)
    (await applicant.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    observer = await host.watch()
    for client, *types in ((guest, "member_away", "micro_leave"), (applicant, "micro_refuse")):
        (await client.watch()).connection.transport.abort()
        ended = (await read_events(observer, *types))[-1]
        assert (ended["user_id"], ended["reason"]) == (client.id, "offline")
    assert await user_type(applicant) == 0
    assert await user_type(unconnected) == 1, "a user who never connected is not absent"
    viewer = await unconnected.watch()
    observer.connection.transport.abort()
    *_, end = await read_events(viewer, "member_away", "live_pause", "live_end")
    assert end["reason"] == "offline"
    assert await viewer.close_code() == 4510


# ---- ended sessions


async def test_login_that_ends_the_oldest_session_closes_its_socket(api: ApiFixture) -> None:
    host = await api.host()
    socket = await (await api.guest("anna", 2, host.live_id)).watch()
    for _ in range(5):
        assert (await api.log_in("anna")).ok()["login_type"] == 1
    assert await socket.close_code() == 4401
