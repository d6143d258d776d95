"""The demo room: its pages and the SDK they run on, for whoever opens the address in a browser."""

from typing import Any

from handlers.static import WEB, Console

DEMO = WEB / "demo"
SDK = WEB.parent / "clients" / "miniprogram" / "src"


class Demo(Console):
    """Under the console's policy: nothing runs in it but its own files, and it asks only us."""


def demo() -> list[Any]:
    """`/`, /demo/ and /sdk/. Who comes in here needs the simulator to have a phone."""
    start = {"path": str(DEMO), "default_filename": "index.html"}
    return [
        (r"/()", Demo, start),
        (r"/demo/([a-z]+\.[a-z]+)", Demo, {"path": str(DEMO)}),
        (r"/sdk/([a-z-]+\.js)", Demo, {"path": str(SDK)}),
    ]
