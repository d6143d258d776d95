"""Development only: generated secrets and the embedded mongod.

With development_pages.py the only module of the runtime that imports devtools/.
"""

import json

from config.settings import Settings
from devtools import demo
from devtools.development_secrets import DevSecrets, fill_in_secrets
from devtools.embedded_mongod import EmbeddedMongod

PAGES = {
    "demo_room": "/",
    "contract": "/docs/",
    "simulator": "/sim/log",
    "health": "/readyz",
    "operators": "/ops/",
}
__all__ = ["DevSecrets", "EmbeddedMongod"]


def fill_in(settings: Settings) -> tuple[Settings, DevSecrets]:
    """Complete the settings with generated secrets, which are stored beside the data."""
    return fill_in_secrets(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")


def welcome(settings: Settings, address: str) -> str:
    """What a start prints: lines for a terminal, or one JSON object like the lines of the log."""
    if settings.logging.as_json:
        pages = {name: f"{address}{path}" for name, path in PAGES.items()}
        note = f"{address}/ops/ logs in as an admin with one click; Ctrl-C stops everything."
        return json.dumps({"event": "development_ready", "address": address, **pages, "note": note})
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
