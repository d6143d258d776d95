"""Routes of the demo room: its pages and the SDK that they use."""

from typing import Any

from handlers.static import WEB, ConsoleHandler

DEMO = WEB / "demo"
SDK = WEB.parent / "clients" / "miniprogram" / "src"


class DemoPageHandler(ConsoleHandler):
    """Static files under the console's policy: scripts and requests of the same origin only."""


def demo_routes() -> list[Any]:
    """Routes for `/`, /demo/ and /sdk/; the pages log in through the simulator's phone."""
    index = {"path": str(DEMO), "default_filename": "index.html"}
    return [
        (r"/()", DemoPageHandler, index),
        (r"/demo/([a-z_]+\.[a-z]+)", DemoPageHandler, {"path": str(DEMO)}),
        (r"/sdk/([a-z-]+\.js)", DemoPageHandler, {"path": str(SDK)}),
    ]
