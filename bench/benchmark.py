"""What each case of the benchmark is given: where to run, how long, against whom, and a report."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.report import BenchmarkReport

PYTHON_PEERS = {"Tornado": "tornado", "websockets": "websockets", "FastAPI": "fastapi"}
"""Package of each peer, which bench/requirements.txt or the locks install."""
NODE_PEER, NODE_VERSION = "ws", "8.23.0"


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a whole run; QUICK only shows that every part works."""

    runs: int = 5
    seconds: float = 1.5
    """Length of a run of requests."""
    warm_up_seconds: float = 1.0
    message_seconds: float = 6.0
    """Length of a run of messages, whose rate is fixed."""
    sockets: tuple[int, ...] = (1_000, 10_000)
    """Sockets of the room that events are sent to."""
    opened: int = 4_000
    """Sockets that are opened, in 100 rooms."""
    clients: int = 10_000
    """Clients of a killed server."""
    storms: int = 2


QUICK = Scale(1, 1.0, 0.5, 1.0, (100,), 200, 300, 1)


@dataclass
class Peers:
    """Versions of the installed peers, and why the others are missing."""

    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    package_json: Path = Path()
    """File from which Node.js resolves modules."""

    def summary(self) -> str:
        installed = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        missing = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
        return f"Measured against {installed}." + (f" Missing: {missing}." if missing else "")


@dataclass
class Benchmark:
    """`uri` of MongoDB; `folder` holds the files of the run."""

    report: BenchmarkReport
    uri: str
    folder: Path
    scale: Scale
    peers: Peers = field(default_factory=Peers)


def find_peers(folder: Path) -> Peers:
    """Find the servers to compare with, of which any may be missing; installs that of Node.js."""
    peers = Peers(package_json=folder / "node" / "package.json")
    for name, package in PYTHON_PEERS.items():
        try:
            peers.versions[name] = version(package)
        except PackageNotFoundError:
            peers.missing[name] = "not installed"
    if reason := _install_node_peer(folder / "node"):
        peers.missing[NODE_PEER] = reason
    else:
        peers.versions[NODE_PEER] = NODE_VERSION
    return peers


def _install_node_peer(folder: Path) -> str:
    """Install the package unless it is installed; returns the error message, or "" ."""
    manifest = folder / "node_modules" / NODE_PEER / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == NODE_VERSION:
        return ""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node or npm is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder)]
    result = subprocess.run(  # noqa: S603 - ours
        [*npm, f"{NODE_PEER}@{NODE_VERSION}"], capture_output=True, text=True, check=False
    )
    return "" if not result.returncode else (result.stderr.strip().splitlines() or ["failed"])[-1]
