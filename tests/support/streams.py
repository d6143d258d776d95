"""Video streams of users, and what CSS reports about them."""

from typing import Any

from runtime.process import ServerProcess
from tests.support.api import ApiFixture


def stream_of(answer: dict[str, Any]) -> str:
    """The stream of the push URL in an answer."""
    name: str = answer["push_url"].rpartition("/")[2].partition("?")[0]
    return name


async def report_stream(api: ApiFixture, server: ServerProcess, stream: str, **event: Any) -> None:
    """CSS reports something about a stream."""
    body = {"stream": stream, "event": "picture", **event}
    (await api.request("POST", "/sim/stream/event", json=body)).ok()
    assert server.simulator
    await server.simulator.delivery.quiet()
