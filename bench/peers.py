"""Those whom we are measured against, each installed by itself: one may be missing."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = {
    "websockets": ["websockets"],
    "aiohttp": ["aiohttp"],
    "picows": ["picows"],
    "python-socketio": ["python-socketio", "aiohttp"],
    "FastAPI": ["fastapi", "uvicorn", "httptools"],
}
MODULES = {"ws": "ws", "socket.io": "socket.io"}


@dataclass
class Peers:
    """What is there, with its version, and what is missing, with why."""

    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    modules: Path = Path()
    """Where node is to look."""

    def line(self) -> str:
        here = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        gone = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
        return f"Measured against {here}." + (f" Missing: {gone}." if gone else "")


def install(folder: Path) -> Peers:
    peers = Peers(modules=folder / "node" / "package.json")
    peers.versions["Tornado"] = _version("tornado")
    for name, packages in PACKAGES.items():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *packages]
        if why := _failure([*pip, "--disable-pip-version-check"]):
            peers.missing[name] = why
        else:
            peers.versions[name] = _version(packages[0])
    for name in MODULES:
        _install_module(name, peers)
    return peers


def _install_module(name: str, peers: Peers) -> None:
    home = peers.modules.parent
    home.mkdir(parents=True, exist_ok=True)
    if not shutil.which("npm"):
        peers.missing[name] = "there is no npm"
        return
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(home)]
    if why := _failure([*npm, MODULES[name]]):
        peers.missing[name] = why
        return
    about = home / "node_modules" / name / "package.json"
    peers.versions[name] = json.loads(about.read_text())["version"]


def _failure(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]


def _version(package: str) -> str:
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.strip()
