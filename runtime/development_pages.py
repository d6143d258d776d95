"""Development only: the routes of /sim and the demo room, and the demo data."""

from typing import Any

from config.settings import Settings
from devtools import demo
from devtools.demo_operator import DemoOperatorLoginHandler
from devtools.demo_pages import demo_routes
from devtools.development_secrets import DevSecrets
from devtools.simulator.factory import make_simulator
from devtools.simulator.relay import RemoteSimulator
from devtools.simulator_endpoints import EXTENSION
from devtools.simulator_handler import SimulatorHandler, SimulatorRef
from handlers.context import Context

__all__ = ["EXTENSION", "SimulatorRef"]


def open_simulator(
    settings: Settings, secrets: DevSecrets, address: str, simulator_at: str = ""
) -> SimulatorRef:
    """Connect to the simulator at `simulator_at`, or create one in this process."""
    if simulator_at:
        return SimulatorRef(RemoteSimulator(simulator_at))
    return SimulatorRef(make_simulator(settings, secrets, address))


def routes(context: Context, simulator_ref: SimulatorRef) -> list[Any]:
    """Routes of /sim and the demo room."""
    shared = {"context": context, "label": "Sim"}
    return [
        (r"/sim/operator/login/?", DemoOperatorLoginHandler, shared),
        (r"/sim(/.*)", SimulatorHandler, {**shared, "simulator_ref": simulator_ref}),
        *demo_routes(),
    ]


async def store_demo_data(context: Context, address: str) -> None:
    settings, stores = context.settings, context.stores
    await demo.store_demo_data(
        stores.users,
        stores.gifts,
        stores.blocks,
        stores.outbox,
        next(iter(settings.wechat.apps)),
        settings.server.public_url or address,
    )
