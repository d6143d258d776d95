"""Releases in folders, with the files of the image, and a symlink to the current one."""

import re
import shutil
import sys
from pathlib import Path

from tests.support.nginx import DEPLOY
from tests.support.paths import ROOT


def unpack(folder: Path) -> Path:
    """Copies what the Dockerfile copies."""
    copy_lines = re.findall(r"^COPY (.+) (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    folder.mkdir(exist_ok=True)
    for sources, target in copy_lines:
        for source in (path for pattern in sources.split() for path in ROOT.glob(pattern)):
            if source.is_dir():
                ignored = shutil.ignore_patterns("dist", "__pycache__")
                shutil.copytree(source, folder / target, ignore=ignored)
            else:
                shutil.copy(source, folder)
    return folder


def install(folder: Path, health: str) -> Path:
    """A release with packages, whose /healthz answers the status `health`."""
    unpack(folder)
    shutil.copytree(ROOT / "devtools", folder / "devtools")  # for the development environment
    (folder / ".venv").symlink_to(sys.prefix)
    module = folder / "handlers" / "health.py"
    text = module.read_text()
    assert 'Literal["ok"] = "ok"' in text
    module.write_text(text.replace('Literal["ok"] = "ok"', f'Literal["{health}"] = "{health}"'))
    return folder


def switch(link: Path, release: Path) -> None:
    """Like `ln -sfn`."""
    link.unlink(missing_ok=True)
    link.symlink_to(release.name)
