"""The repository and its default settings contain no keys."""

import os
import re
import secrets
from pathlib import Path

from config.loading import load
from config.sections import SettingsSection
from tests.support.paths import ROOT

SUFFIXES = {".py", ".yaml", ".yml", ".toml", ".md", ".js", ".json", ".html", ".sh", ".txt"}
PUBLIC = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"}
"""GUID of the WebSocket handshake (RFC 6455, section 1.3)."""
QUOTED = re.compile(r"""["']([A-Za-z0-9+/=_-]{20,})["']""")


def source_files() -> list[Path]:
    """Files of the project except tests and their data."""
    excluded = {"tests", "var", "node_modules"}
    files: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):  # other tests add and remove files in `var`
        subfolders[:] = [
            name for name in subfolders if name not in excluded and not name.startswith(".")
        ]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return [path for path in files if path.suffix in SUFFIXES]


def looks_random(text: str) -> bool:
    """Whether a quoted text looks like a key: at least 5 changes between letters and digits."""
    transitions = re.findall(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])", text)
    return len(transitions) >= 5 and text not in PUBLIC


def test_source_contains_no_keys() -> None:
    assert all(looks_random(secrets.token_hex(20)) for _ in range(100))
    assert not any(map(looks_random, ("WECHATPAY2-SHA256-RSA2048", "wx0123456789abcdef")))
    files = source_files()
    assert {ROOT / "settings.yaml", ROOT / "tencent" / "im.py"} < set(files)
    for path in files:
        text = path.read_text()
        assert "-----BEGIN" not in text, path
        assert not [found for found in QUOTED.findall(text) if looks_random(found)], path


def test_default_settings_contain_no_secrets() -> None:
    settings = load(ROOT / "settings.yaml", {})
    sections = [getattr(settings, name) for name in type(settings).model_fields]
    found = {
        (name, getattr(section, name))
        for section in [*sections, *settings.wechat.apps.values()]
        if isinstance(section, SettingsSection)
        for name, field in type(section).model_fields.items()
        if not field.repr
    }
    names = {name for name, _ in found}
    assert names > {"secret", "secret_key", "private_key", "token", "uri"}
    assert [name for name, value in found if value] == []
