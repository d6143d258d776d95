"""Calls around the mic that many tests of the API need."""

from tests.support.api import ApiClient


async def take_seat(client: ApiClient) -> None:
    """Apply for the mic and accept, in the room of `client.live_id`."""
    (await client.post("qlive_room/apply_micro/", live_id=client.live_id)).ok()
    (await client.post("qlive_room/accept_micro/", live_id=client.live_id)).ok()


async def user_type(client: ApiClient) -> int:
    """The role of the user: 0 in no room, 1 viewer, 2 applicant, 3 and 4 on mic, 5 host."""
    state = (await client.get("qlive_user/get_user_state/")).ok()
    return int(state["user_type"])
