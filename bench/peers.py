"""Installs the compared servers at pinned versions; any may be missing."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_PACKAGES = {
    "websockets": ("websockets", ["websockets==17.4"]),
    "FastAPI": ("fastapi", ["fastapi==0.165.0", "uvicorn==0.54.0", "httptools==0.9.0"]),
}
"""By peer: the module to import and the pip requirements, the first being the peer itself."""
NODE_PACKAGES = {"ws": "8.23.0"}


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


def install(folder: Path) -> Peers:
    peers = Peers(package_json=folder / "node" / "package.json")
    peers.versions["Tornado"] = _version("tornado")
    batch_failure = _pip_install(
        [
            requirement
            for _, requirements in PYTHON_PACKAGES.values()
            for requirement in requirements
        ]
    )
    for name, (module, requirements) in PYTHON_PACKAGES.items():
        # Only if the batch failed: installing one by one shows which peers are missing.
        reason = batch_failure and _pip_install(requirements)
        if reason := reason or _failure([sys.executable, "-c", f"import {module}"]):
            peers.missing[name] = reason
        else:
            peers.versions[name] = _version(requirements[0].partition("==")[0])
    for name, version in NODE_PACKAGES.items():
        _install_node_package(name, version, peers)
    return peers


def _install_node_package(name: str, version: str, peers: Peers) -> None:
    prefix = peers.package_json.parent
    manifest = prefix / "node_modules" / name / "package.json"
    prefix.mkdir(parents=True, exist_ok=True)
    if not (shutil.which("node") and shutil.which("npm")):
        peers.missing[name] = "node or npm is not installed"
        return
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(prefix)]
    installed = manifest.exists() and json.loads(manifest.read_text())["version"] == version
    if not installed and (reason := _failure([*npm, f"{name}@{version}"])):
        peers.missing[name] = reason
        return
    peers.versions[name] = version


def _pip_install(requirements: list[str]) -> str:
    """Install the requirements; returns the error message, or an empty string."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _failure([*pip, *requirements])


def _failure(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    return "" if result.returncode == 0 else (result.stderr.strip().splitlines() or ["failed"])[-1]


def _version(package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return result.stdout.strip()
