"""deploy/settings.yaml and deploy/secrets.env with all values filled in."""

import shlex
from pathlib import Path

from tests.support.nginx import DEPLOY, deploy_file
from tests.support.production_settings import secret

MINE = secret("mine")
AES_KEY = secret("aes") + secret("more")[:11]
VALUES = {
    'public_url: ""': "public_url: https://live.qlive.test",
    "sdk_app_id: 0 ": "sdk_app_id: 1400012345 ",
    'push_domain: ""': "push_domain: push.qlive.test",
    'play_domain: ""': "play_domain: play.qlive.test",
    'offer_id: ""': "offer_id: '1450012345'",
}


def fill_in(file: Path) -> None:
    """Writes deploy/settings.yaml with values with which production starts."""
    file.write_text(deploy_file("settings.yaml", VALUES))


def environment(text: str) -> dict[str, str]:
    """Parses an environment file like systemd."""
    return dict(word.split("=", 1) for word in shlex.split(text, comments=True))


def shipped_secrets() -> dict[str, str]:
    return environment((DEPLOY / "secrets.env").read_text())


def filled_secrets() -> dict[str, str]:
    """deploy/secrets.env by environment variable, without placeholders."""
    changes = {
        "REPLACE/WITH/THE/43/CHARACTERS/FROM/WECHAT/": AES_KEY,
        "REPLACE-WITH-THE-APPID": "wx1",
    }
    return environment(deploy_file("secrets.env", {**changes, "REPLACE": MINE}))
