"""The mic in tests of the API: calls around it, and what CSS reports about its streams."""

from typing import Any

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture


async def take_seat(client: ApiClient) -> None:
    """Apply for the mic and accept, in the room of `client.live_id`."""
    (await client.post("qlive_room/apply_micro/", live_id=client.live_id)).ok()
    (await client.post("qlive_room/accept_micro/", live_id=client.live_id)).ok()


async def user_type(client: ApiClient) -> int:
    """The role of the user: 0 in no room, 1 viewer, 2 applicant, 3 and 4 on mic, 5 host."""
    state = (await client.get("qlive_user/get_user_state/")).ok()
    return int(state["user_type"])


def stream_of(answer: dict[str, Any]) -> str:
    """The stream of the push URL in an answer."""
    return answer["push_url"].rpartition("/")[2].partition("?")[0]


async def report_stream(api: ApiFixture, server: ServerProcess, stream: str, **event: Any) -> None:
    """CSS reports something about a stream."""
    body = {"stream": stream, "event": "picture", **event}
    (await api.request("POST", "/sim/stream/event", json=body)).ok()
    await server.simulator.delivery.quiet()
