"""What each case of the benchmark is given: where to run, how long, against whom, and a report."""

import json
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.report import BenchmarkReport

PYTHON_PEERS = {"Tornado": "tornado", "websockets": "websockets", "FastAPI": "fastapi"}
"""Package of each peer, which `make bench` installs."""
NODE_PEER = "ws"


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
    """Find the servers to compare with, of which any may be missing."""
    peers = Peers(package_json=folder / "node" / "package.json")
    for name, package in PYTHON_PEERS.items():
        try:
            peers.versions[name] = version(package)
        except PackageNotFoundError:
            peers.missing[name] = "not installed"
    try:
        manifest = peers.package_json.parent / "node_modules" / NODE_PEER / "package.json"
        peers.versions[NODE_PEER] = json.loads(manifest.read_text())["version"]
    except FileNotFoundError:
        peers.missing[NODE_PEER] = "not installed"
    return peers
