import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core import process_identity as module
from core.process_identity import ProcessIdentity

pytestmark = pytest.mark.linux

PROGRAM = """
import sys; sys.path.insert(0, ".")
from core.process_identity import ProcessIdentity
own = ProcessIdentity.own()
print(own.host, own.pid, own.started, sep="\\n", flush=True)
sys.stdin.read()
"""


def own() -> ProcessIdentity:
    identity = ProcessIdentity.own()
    assert identity
    return identity


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=pipe, stdout=pipe, text=True
    ) as it:
        yield it
        it.kill()


def identity_of(child: "subprocess.Popen[str]") -> ProcessIdentity:
    assert child.stdout
    host, pid, started = (child.stdout.readline().strip() for _ in range(3))
    return ProcessIdentity(host, int(pid), int(started))


def test_running_process_has_not_ended(child: "subprocess.Popen[str]") -> None:
    identity = identity_of(child)
    assert identity != own()
    assert not identity.has_ended(own())


def test_suspended_process_has_not_ended(child: "subprocess.Popen[str]") -> None:
    identity = identity_of(child)
    child.send_signal(signal.SIGSTOP)
    assert not identity.has_ended(own())


def test_killed_process_has_ended_before_and_after_its_parent_reads_its_status(
    child: "subprocess.Popen[str]",
) -> None:
    identity = identity_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it remains as a zombie
    assert identity.has_ended(own())
    child.wait()
    assert identity.has_ended(own())


def test_process_that_got_the_id_of_an_ended_one_is_told_apart(
    child: "subprocess.Popen[str]",
) -> None:
    identity = identity_of(child)
    assert replace(identity, started=identity.started - 1).has_ended(own())


def test_process_of_another_machine_or_boot_is_never_known_to_have_ended(
    child: "subprocess.Popen[str]",
) -> None:
    identity = replace(identity_of(child), host="another boot")
    child.kill()
    child.wait()
    assert not identity.has_ended(own())


def test_process_of_another_user_has_not_ended() -> None:
    first = replace(own(), pid=1, started=module._state_and_start(1)[1])
    assert not first.has_ended(own())


def test_boot_is_known_from_the_environment_where_its_file_is_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd's ProcSubset=pid hides it, and %b in the unit is the same id without dashes."""
    usual = own()
    hex_digits = module.BOOT_ID.read_text().strip().replace("-", "")
    monkeypatch.setattr(module, "BOOT_ID", tmp_path / "hidden")
    assert ProcessIdentity.own() is None
    monkeypatch.setenv("BOOT_ID", hex_digits)
    assert own() == usual


def test_process_that_may_not_be_seen_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = own()

    def hidden(_pid: int) -> tuple[str, int]:
        raise FileNotFoundError

    monkeypatch.setattr(module, "_state_and_start", hidden)
    assert not identity.has_ended(identity)
    assert ProcessIdentity.own() is None
