"""Installs the peers, each at a fixed version; any of them may be missing."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = {
    "websockets": ("websockets", ["websockets==17.4"]),
    "aiohttp": ("aiohttp", ["aiohttp==3.14.5"]),
    "picows": ("picows", ["picows==2.3.1"]),
    "socketify": ("socketify", ["socketify==0.0.31"]),  # also needs libuv.so.1
    "python-socketio": ("socketio", ["python-socketio==5.18.1", "python-engineio==4.15.1"]),
    "FastAPI": ("fastapi", ["fastapi==0.165.0", "uvicorn==0.54.0", "httptools==0.9.0"]),
}
"""The module that must be importable, and what pip installs; the first has the peer's version."""
MODULES = {"ws": "8.23.0", "socket.io": "4.8.4"}


@dataclass
class Peers:
    """The installed peers with their versions, and the missing ones with the reason."""

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
    together = _pip([it for _, wanted in PACKAGES.values() for it in wanted])
    for name, (module, wanted) in PACKAGES.items():
        why = together and _pip(wanted)  # after a failure of all, each by itself
        if why := why or _failure([sys.executable, "-c", f"import {module}"]):
            peers.missing[name] = why
        else:
            peers.versions[name] = _version(wanted[0].partition("==")[0])
    for name, version in MODULES.items():
        _install_module(name, version, peers)
    return peers


def _install_module(name: str, version: str, peers: Peers) -> None:
    home = peers.modules.parent
    about = home / "node_modules" / name / "package.json"
    home.mkdir(parents=True, exist_ok=True)
    if not (shutil.which("node") and shutil.which("npm")):
        peers.missing[name] = "node or npm is not installed"
        return
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(home)]
    there = about.exists() and json.loads(about.read_text())["version"] == version
    if not there and (why := _failure([*npm, f"{name}@{version}"])):
        peers.missing[name] = why
        return
    peers.versions[name] = version


def _pip(wanted: list[str]) -> str:
    """Why they cannot be installed, if they cannot."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _failure([*pip, *wanted])


def _failure(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]


def _version(package: str) -> str:
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.strip()
