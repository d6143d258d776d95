"""Certificates made by the commands of docs/deploy.md, for servers on 127.0.0.1."""

import re
import subprocess
from pathlib import Path

from tests.support.paths import ROOT


def make_certificates(folder: Path) -> Path:
    """Runs the documented commands in `folder`; returns the authority's certificate.

    The key and certificate of a server are in `127.0.0.1.pem`, and apart in `.key` and `.crt`.
    """
    page = (ROOT / "docs" / "deploy.md").read_text()
    section = page[page.index("\n## Certificates\n") :]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found, "docs/deploy.md has no commands under Certificates"
    commands, count = re.subn(r"(?<=in )10\.[0-9. ]+(?=;)", "127.0.0.1", found[1])
    assert count == 1
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"
