"""Events of WeChat that move no gold, sent by the simulator."""

from typing import Any

from devtools.simulator.platform_events import SentEvent, SimulatedPlatformEvents
from runtime.process import ServerProcess
from tests.support.api import ApiFixture


def event_sender(server: ServerProcess) -> SimulatedPlatformEvents:
    """The simulator's sender of events."""
    assert server.simulator
    sender: SimulatedPlatformEvents = server.simulator.platform_events  # type: ignore[union-attr]
    return sender


async def send_event(
    api: ApiFixture,
    wechat: SimulatedPlatformEvents,
    event: str,
    report: str = "once",
    **params: Any,
) -> list[SentEvent]:
    """Have the simulator send an event; its deliveries."""
    wechat.sent.clear()
    body = {"event": event, "report": report, **params}
    (await api.request("POST", "/sim/wechat_event", json=body)).ok()
    await wechat.delivery.quiet()
    return list(wechat.sent)
