"""Rules of the repository: no keys, hooks that run `make lint`, a load test of the present API."""

import json
import os
import random
import re
from fnmatch import fnmatch
from pathlib import Path

import yaml

from config.loading import load
from config.sections import SettingsSection
from handlers.base import methods_of
from handlers.routes import API_ROUTES
from tests.support.paths import ROOT

SUFFIXES = {".py", ".yaml", ".yml", ".toml", ".md", ".js", ".json", ".html", ".sh", ".txt"}
NODE_LOCK = "package-lock.json"
NODE_FOLDERS = ("clients", "examples", "scripts")
"""It has a hash of each package."""
PUBLIC = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"}
"""GUID of the WebSocket handshake (RFC 6455, section 1.3)."""
QUOTED = re.compile(r"""["']([A-Za-z0-9+/=_-]{20,})["']""")


def source_files() -> list[Path]:
    """Files of the project except tests and their data."""
    excluded = {"tests", "var", "node_modules", "dist"}
    files: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):  # other tests add and remove files in `var`
        subfolders[:] = [
            name for name in subfolders if name not in excluded and not name.startswith(".")
        ]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return [path for path in files if path.suffix in SUFFIXES and path.name != NODE_LOCK]


def looks_random(text: str) -> bool:
    """Whether a quoted text looks like a key: at least 5 changes between letters and digits."""
    transitions = re.findall(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])", text)
    return len(transitions) >= 5 and text not in PUBLIC


def test_source_contains_no_keys():
    generator = random.Random(0)
    assert all(looks_random(generator.randbytes(20).hex()) for _ in range(100))
    assert not any(map(looks_random, ("WECHATPAY2-SHA256-RSA2048", "wx0123456789abcdef")))
    files = source_files()
    assert {ROOT / "settings.yaml", ROOT / "tencent" / "im.py"} < set(files)
    for path in files:
        text = path.read_text()
        assert "-----BEGIN" not in text, path
        assert not [found for found in QUOTED.findall(text) if looks_random(found)], path


def test_locks_of_node_packages_have_hashes_and_no_registry():
    locks = [path for folder in NODE_FOLDERS for path in ROOT.glob(f"{folder}/*/{NODE_LOCK}")]
    assert len(locks) == len(NODE_FOLDERS)
    for path in locks:
        packages = json.loads(path.read_text())["packages"]
        installed = [row for name, row in packages.items() if "node_modules/" in name]
        assert all(row.get("link") or row["integrity"] for row in installed), path
        assert not any("://" in row.get("resolved", "") for row in installed), path


def test_default_settings_contain_no_secrets():
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


def test_pre_commit_hooks_are_the_commands_of_make_lint():
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    commands = [line for line in lines if not line.startswith("@scripts/setup")]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    [repository] = config["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == commands


def test_every_call_of_the_load_test_is_in_the_api():
    """Locust is not part of this environment."""
    source = (ROOT / "loadtest" / "locustfile.py").read_text()
    calls = re.findall(r'self\.call\(\s*"(GET|POST)", f?"([^"]+)"', source)
    assert len(re.findall(r"self\.call\(", source)) == len(calls) > 10
    offered = [
        (method.upper(), route.path) for route in API_ROUTES for method in methods_of(route.handler)
    ]
    for method, path in calls:
        pattern = re.sub(r"\{.*?\}", "*", path)
        assert (method, True) in [(name, fnmatch(offer, pattern)) for name, offer in offered], path
