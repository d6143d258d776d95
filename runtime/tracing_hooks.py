"""Where traces enter the parts of a process; loads no package of OpenTelemetry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tornado.httputil import HTTPServerRequest

from handlers.context import JoinSpan, no_join_span
from realtime.fanout import StartSpan
from realtime.hub import no_traceparent
from rooms.keeper import Keeper, RoomListener, RoomStorage
from services.im_relay import RelaySpan, no_relay_span
from services.outbox_worker import DeliverySpan, no_delivery_span
from storage.database import JointSpan, Listener, no_span
from telemetry.outgoing import OutgoingSpan, untraced

if TYPE_CHECKING:
    from handlers.traced_call import TracedCall
    from telemetry.traces import Traces


@dataclass(frozen=True, slots=True)
class TracingHooks:
    """As it is by default, nothing is traced."""

    traces: "Traces | None" = None
    start_call: "Callable[[HTTPServerRequest], TracedCall] | None" = None
    listeners: Sequence[Listener] = ()
    joint_span: JointSpan = no_span
    keeper: Callable[[RoomStorage, RoomListener], Keeper] = Keeper
    traceparent: Callable[[], str] = no_traceparent
    start_fanout: StartSpan | None = None
    outgoing: OutgoingSpan = untraced
    join_span: JoinSpan = no_join_span
    delivery_span: DeliverySpan = no_delivery_span
    relay_span: RelaySpan = no_relay_span
