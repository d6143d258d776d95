"""A mongod with deploy/mongod.conf, and the users that docs/deploy.md creates."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from devtools.embedded_mongod import find_binary
from tests.support.nginx import deploy_file
from tests.support.paths import ROOT


class Member(NamedTuple):
    """A mongod with TLS; `authority` is the certificate that clients trust."""

    address: str
    authority: Path

    def uri(self, user: str = "", options: str = "replicaSet=qlive") -> str:
        """`user` is name:password."""
        login = f"{user}@" if user else ""
        tls = f"tls=true&tlsCAFile={self.authority}"
        return f"mongodb://{login}{self.address}/?{options}&{tls}"


@contextmanager
def replica_set_member(folder: Path, port: int) -> Iterator[Member]:
    """Runs mongod, not initiated and without users, while the block runs."""
    authority = make_certificates(folder)
    (folder / "key").write_text("c2VjcmV0" * 8)
    (folder / "key").chmod(0o400)
    (folder / "data").mkdir()
    changes = {
        "port: 27017": f"port: {port}\n  unixDomainSocket:\n    enabled: false",
        "127.0.0.1,10.0.0.21": "127.0.0.1",
        "/var/lib/mongodb": str(folder / "data"),
        "/var/log/mongodb": str(folder),
        "/etc/mongod.key": str(folder / "key"),
        "/etc/mongod.pem": str(folder / "127.0.0.1.pem"),
        "/etc/qlive/ca.pem": str(authority),
    }
    (folder / "mongod.conf").write_text(deploy_file("mongod.conf", changes))
    command = [str(find_binary()), "--config", str(folder / "mongod.conf")]
    process = subprocess.Popen([*command, "--wiredTigerCacheSizeGB", "0.25"])
    try:
        yield Member(f"127.0.0.1:{port}", authority)
    finally:
        process.kill()
        process.wait()


def _documented(kind: str, name: str, key: str) -> Any:
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(rf'{kind}: "{name}".*?{key}: (.*)', text)
    assert found, f"docs/deploy.md creates no {kind} {name}"
    quoted = re.sub(r"(\w+):", r'"\1":', found[1])
    return json.JSONDecoder().raw_decode(quoted)[0]  # ignores what follows


def documented_user(name: str) -> dict[str, Any]:
    """The createUser command with the roles in docs/deploy.md."""
    return {"pwd": "secret", "roles": _documented("user", name, "roles")}


def documented_role(name: str) -> dict[str, Any]:
    return {"privileges": _documented("role", name, "privileges"), "roles": []}


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
