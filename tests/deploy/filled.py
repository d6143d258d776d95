"""deploy/settings.yaml and deploy/secrets.env as somebody fills them in."""

import shlex
from pathlib import Path

from tests.deploy.front import DEPLOY, deployed

OWN = {
    'public_url: ""': "public_url: https://live.qlive.test",
    "sdk_app_id: 0 ": "sdk_app_id: 1400012345 ",
    'push_domain: ""': "push_domain: push.qlive.test",
    'play_domain: ""': "play_domain: play.qlive.test",
    'mchid: ""': "mchid: '1600000001'",
    'serial_no: ""': "serial_no: ABCDEF",
    'public_key_id: ""': "public_key_id: PUB_KEY_ID_0001",
    'public_key: ""': "public_key: |\n    PEM\n ",
}


def fill_in(file: Path) -> None:
    """Settings that are no secrets, with which production starts."""
    file.write_text(deployed("settings.yaml", OWN))


def environment(text: str) -> dict[str, str]:
    """As systemd reads it."""
    return dict(word.split("=", 1) for word in shlex.split(text, comments=True))


def shipped_secrets() -> dict[str, str]:
    return environment((DEPLOY / "secrets.env").read_text())


def filled_secrets() -> dict[str, str]:
    """By the names of environment variables."""
    changes = {"REPLACE-WITH-THE-32-CHARACTERS..": "a" * 32, "REPLACE-WITH-THE-APPID": "wx1"}
    return environment(deployed("secrets.env", {**changes, "REPLACE": "mine"}))
