"""The member that deploy/mongod.conf makes, as its first start leaves it, and its users."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.mongod_binary import find_binary
from tests.deploy.front import deployed
from tests.test_server import ROOT


@contextmanager
def a_member(folder: Path, port: int) -> Iterator[None]:
    (folder / "key").write_text("c2VjcmV0" * 8)
    (folder / "key").chmod(0o400)
    (folder / "data").mkdir()
    changes = {
        "port: 27017": f"port: {port}\n  unixDomainSocket:\n    enabled: false",
        "127.0.0.1,10.0.0.21": "127.0.0.1",
        "/var/lib/mongodb": str(folder / "data"),
        "/var/log/mongodb": str(folder),
        "/etc/mongod.key": str(folder / "key"),
    }
    (folder / "mongod.conf").write_text(deployed("mongod.conf", changes))
    words = [str(find_binary()), "--config", str(folder / "mongod.conf")]
    process = subprocess.Popen([*words, "--wiredTigerCacheSizeGB", "0.25"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _documented(what: str, marker: str, key: str) -> Any:
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(rf'{what}: "{marker}".*?{key}: (.*)', text)
    assert found, f"docs/deploy.md makes no {what} {marker}"
    quoted = re.sub(r"(\w+):", r'"\1":', found[1])
    return json.JSONDecoder().raw_decode(quoted)[0]  # and whatever is behind it


def documented_user(name: str) -> dict[str, Any]:
    """With the roles that docs/deploy.md gives to a user."""
    return {"pwd": "secret", "roles": _documented("user", name, "roles")}


def documented_role(name: str) -> dict[str, Any]:
    return {"privileges": _documented("role", name, "privileges"), "roles": []}
