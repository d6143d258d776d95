"""Development only: generated secrets, the embedded mongod, the simulator and the demo.

The only module of the runtime that imports devtools/.
"""

from typing import Any

from config.settings import Settings
from devtools import demo
from devtools.demo import store_demo_data
from devtools.development_secrets import fill_in_secrets
from devtools.embedded_mongod import EmbeddedMongod
from devtools.simulator.simulator import Simulator
from devtools.simulator_handler import (
    INTRO,
    SIMULATOR_ROUTES,
    ForwardingHandler,
    RemoteSimulator,
)
from handlers.base import Route
from handlers.context import Context
from handlers.pages import WEB, ConsoleHandler

DEMO = WEB / "demo"
SDK = WEB.parent / "clients" / "miniprogram" / "src"
OPERATOR_LOGIN = Route("/sim/operator/login", demo.DemoOperatorLoginHandler, "simulator.Operator")
DOCUMENTED = (*SIMULATOR_ROUTES, OPERATOR_LOGIN)
"""Routes that the OpenAPI document describes."""
__all__ = [
    "INTRO",
    "EmbeddedMongod",
    "RemoteSimulator",
    "Simulator",
    "store_demo_data",
]


def fill_in(settings: Settings) -> tuple[Settings, str]:
    """Return the settings with secrets that are stored beside the data, and the simulator's key."""
    return fill_in_secrets(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")


def welcome(address: str) -> str:
    people = ", ".join(demo.MEN[:2] + demo.WOMEN[:2])
    return f"""
  QLive serves on {address}
    demo room  {address}/  (open it in three windows to act as three users)
    contract   {address}/docs/
    simulator  {address}/sim/log  (simulated WeChat and Tencent)
    health     {address}/readyz
    operators  {address}/ops/  (one click logs in as an admin)
    log in as  hongniang1, hongniang2 (matchmakers), {people}, …
  Ctrl-C stops everything.
"""


def routes(context: Context, simulator: Simulator | RemoteSimulator) -> list[Any]:
    """Return the routes of /sim and of the demo room.

    The pages of the demo room log in through the simulator's phone. All routes have the console's
    policy: scripts and requests of the same origin only.
    """
    shared = {"context": context}
    index = {"path": str(DEMO), "default_filename": "index.html"}
    return [
        *[
            (rf"{route.path}/?", route.handler, {**shared, "simulator": simulator, "route": route})
            for route in SIMULATOR_ROUTES
        ],
        (rf"{OPERATOR_LOGIN.path}/?", OPERATOR_LOGIN.handler, {**shared, "route": OPERATOR_LOGIN}),
        (r"/sim(/.*)", ForwardingHandler, {**shared, "simulator": simulator}),
        (r"/()", ConsoleHandler, index),
        (r"/demo/([a-z0-9_]+\.[a-z]+)", ConsoleHandler, {"path": str(DEMO)}),
        (r"/demo/shared/([a-z0-9_]+\.js)", ConsoleHandler, {"path": str(WEB / "shared")}),
        (r"/sdk/([a-z-]+\.js)", ConsoleHandler, {"path": str(SDK)}),
    ]
