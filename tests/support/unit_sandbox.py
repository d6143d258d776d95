"""Runs a program under the system call filter and memory rules of deploy/qlive@.service.

As a program: `python unit_sandbox.py FILTER PROGRAM …`, where FILTER is a file with one allowed
system call a line. Everything else fails with EPERM, as SystemCallErrorNumber says.
"""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65
PR_MDWE_REFUSE_EXEC_GAIN = 1
SCMP_ACT_ALLOW, SCMP_ACT_ERRNO_EPERM = 0x7FFF0000, 0x00050000 | errno.EPERM
UNKNOWN_CALL = -1


def allowed_calls(unit: str) -> set[str]:
    """The system calls that the SystemCallFilter lines of a unit allow."""
    allowed: set[str] = set()
    for line in unit.splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter":
            denies = value.startswith("~")
            for word in value.removeprefix("~").split():
                calls = _calls_of(word)
                allowed = allowed - calls if denies else allowed | calls
    return allowed


def _calls_of(word: str) -> set[str]:
    """The system calls of a set like @system-service, with those of the sets in it."""
    if not word.startswith("@"):
        return {word}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    found = [_calls_of(part) for part in words if part and not part.startswith("#")]
    return set().union(*found)


def restrict(calls: list[str]) -> None:
    """Restrict this process, and every program that it becomes or starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
    rules = ctypes.c_void_p(seccomp.seccomp_init(SCMP_ACT_ERRNO_EPERM))
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number != UNKNOWN_CALL:
            _check(seccomp.seccomp_rule_add(rules, SCMP_ACT_ALLOW, number, 0))
    _check(seccomp.seccomp_load(rules))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno() or -result, "the sandbox could not be set up")


if __name__ == "__main__":
    restrict(Path(sys.argv[1]).read_text().split())
    os.execv(sys.argv[2], sys.argv[2:])
