"""Defects of the earlier backend; the number in a test name is the number of the defect."""

import asyncio
import os
import re
import secrets
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.loading import load
from config.sections import SettingsSection
from config.settings import Settings
from devtools.development_secrets import DevSecrets, fill_in_secrets
from devtools.simulator import simulator
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.mic import take_seat
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


async def test_7_slow_im_delays_neither_mic_calls_nor_profile_changes(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    monkeypatch.setattr(simulator, "asyncio", SimpleNamespace(sleep=lambda _seconds: over.wait()))
    for service in server.context.tencent.services:
        service._timeout = 60  # a call that waits for IM takes longer than all may
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await api.outage("im", seconds=60)
    started = time.monotonic()
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    await take_seat(anna)
    (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await api.user("new", 1)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert time.monotonic() - started < 15
    await api.outage("im")
    over.set()
    assert server.simulator
    accounts = server.simulator.im.accounts
    await until(lambda: accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == "安娜")


def source_files() -> list[Path]:
    """Files of the project except tests and their data."""
    suffixes = {".py", ".yaml", ".yml", ".toml", ".md", ".js", ".json", ".html", ".sh", ".txt"}
    excluded = {"tests", "var", "node_modules"}
    files: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):  # other tests add and remove files in `var`
        subfolders[:] = [
            name for name in subfolders if name not in excluded and not name.startswith(".")
        ]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return [path for path in files if path.suffix in suffixes]


PUBLIC = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"}
"""GUID of the WebSocket handshake (RFC 6455, section 1.3)."""
QUOTED = re.compile(r"""["']([A-Za-z0-9+/=_-]{20,})["']""")


def _looks_random(text: str) -> bool:
    """Whether a quoted text looks like a key: at least 5 changes between letters and digits."""
    transitions = re.findall(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])", text)
    return len(transitions) >= 5 and text not in PUBLIC


def test_8_secret_detection_recognizes_random_keys() -> None:
    assert all(_looks_random(secrets.token_hex(20)) for _ in range(100))
    assert not any(map(_looks_random, ("WECHATPAY2-SHA256-RSA2048", "wx0123456789abcdef")))


def test_8_source_contains_no_keys() -> None:
    found = []
    files = source_files()
    for path in files:
        text = path.read_text()
        if "-----BEGIN" in text:
            found.append(f"{path}: a PEM block")
        found += [f"{path.name}: {text}" for text in QUOTED.findall(text) if _looks_random(text)]
    assert ROOT / "settings.yaml" in files
    assert ROOT / "tencent" / "im.py" in files
    assert found == []


def test_8_default_settings_contain_no_secrets() -> None:
    settings = load(ROOT / "settings.yaml", {})
    secret_fields = []
    sections = [getattr(settings, name) for name in type(settings).model_fields]
    apps = list(settings.wechat.apps.values())
    for section in [it for it in sections if isinstance(it, SettingsSection)] + apps:
        names = [name for name, field in type(section).model_fields.items() if not field.repr]
        secret_fields += [(name, getattr(section, name)) for name in names]
    assert {name for name, _ in secret_fields} > {
        "secret",
        "secret_key",
        "private_key",
        "token",
        "uri",
    }
    assert [name for name, value in secret_fields if value] == []


def test_8_development_secrets_differ_between_installations(
    settings: tuple[Settings, DevSecrets], tmp_path: Path
) -> None:
    other, _ = fill_in_secrets(Settings.model_validate({}), tmp_path / "dev-secrets.json")
    for section, name in (("live", "push_key"), ("im", "secret_key")):
        first, second = (getattr(getattr(it, section), name) for it in (settings[0], other))
        assert first
        assert first != second
