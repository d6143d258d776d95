"""A release on a machine: a folder with every file of the image, and a link that leads to it."""

import re
import shutil
import sys
from pathlib import Path

from tests.deploy.front import DEPLOY
from tests.test_server import ROOT


def unpack(folder: Path) -> Path:
    """What the Dockerfile copies."""
    copied = re.findall(r"^COPY (.+) (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    folder.mkdir(exist_ok=True)
    for sources, target in copied:
        for source in (path for word in sources.split() for path in ROOT.glob(word)):
            if source.is_dir():
                leave = shutil.ignore_patterns("dist", "__pycache__")
                shutil.copytree(source, folder / target, ignore=leave)
            else:
                shutil.copy(source, folder)
    return folder


def install(folder: Path, says: str) -> Path:
    """A release with its packages; its /healthz says what is given, and it is the only one to."""
    unpack(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    health = folder / "handlers" / "health.py"
    text = health.read_text()
    assert 'Literal["ok"] = "ok"' in text
    health.write_text(text.replace('Literal["ok"] = "ok"', f'Literal["{says}"] = "{says}"'))
    return folder


def switch(link: Path, release: Path) -> None:
    """`ln -sfn`"""
    link.unlink(missing_ok=True)
    link.symlink_to(release.name)
