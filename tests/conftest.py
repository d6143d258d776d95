"""Hooks and fixtures of the whole suite."""

import functools
import gc
import inspect
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from argon2 import PasswordHasher
from Crypto.PublicKey import RSA
from tornado.ioloop import IOLoop

import core.retry
import services.operators.operators
import storage.database
import tencent.wechat
from core.batching import RequestBatcher
from core.limits import ConcurrencyLimit, NamedLocks
from devtools.simulator import im, notifications
from tests.support import openapi_checks
from tests.support.cpu_profile import Profile
from tests.support.event_loops import new_loop
from tests.support.hypothesis_profiles import LONG_PROFILE

BROWSER = "tests/browser/"


def slow_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Puts the modules that start programs, or are slow, at the beginning of each worker's share.

    With `--dist worksteal`, xdist gives each worker a contiguous part of the list; an idle worker
    steals from the end of another's. Other tests keep their order. Modules stay together, because
    their session fixtures are started once per worker; so do all that use the browser.
    """
    groups: dict[str, list[pytest.Item]] = {}
    quick: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("programs") or item.get_closest_marker("slow"):
            module = item.nodeid.partition("::")[0]
            group = BROWSER if module.startswith(BROWSER) else module
            groups.setdefault(group, []).append(item)
        else:
            quick.append(item)
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for together in sorted(groups.values(), key=len, reverse=True):
        min(first, key=len).extend(together)
    share, order = len(items) / workers, list[pytest.Item]()
    for number, slow in enumerate(first):
        taken = max(0, round(share * (number + 1)) - len(order) - len(slow))
        order += [*slow, *quick[:taken]]
        del quick[:taken]
    return order + quick


# With rich installed, structlog formats tracebacks with it, which blocks for seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

TIMEOUT_SECONDS = 3_600.0 if LONG_PROFILE else 180.0
RETRY_SECONDS = 60.0
OPERATION_MS = 30_000
PYTEST = os.path.relpath(Path(sys.prefix) / "bin" / "pytest")

pytest_plugins = [
    "tests.support.database",
    "tests.support.hub",
    "tests.support.redis_server",
    "tests.support.server",
    "tests.support.server_program",
    "tests.support.storage",
    "tests.support.withdrawal_fixture",
    "tests.support.presence",
    "tests.support.tencent",
    "tests.support.doctor",
    "tests.support.webhooks",
]


def pytest_configure(config: pytest.Config) -> None:
    if "PROFILE" in os.environ:
        config.pluginmanager.register(Profile())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collects without the garbage collector.

    Imported modules stay, and early releases of Python 3.11 fail if the collector runs within
    ast.parse (python/cpython#106905).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs coroutines as tests, deselects tests of other systems, and orders tests for workers.

    A test needs the mark `gen_test` only for a longer timeout.
    """
    for item in items:
        # A timeout ends a test that hangs; it must not fail one on a busy machine.
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            mark = item.get_closest_marker("gen_test")
            timeout = max(TIMEOUT_SECONDS, mark.kwargs.get("timeout", 0) if mark else 0)
            item.add_marker(pytest.mark.gen_test(timeout=timeout), append=False)
    if sys.platform != "linux":
        unsupported = [item for item in items if item.get_closest_marker("linux")]
        config.hook.pytest_deselected(items=unsupported)
        items[:] = [item for item in items if item not in unsupported]
    items[:] = slow_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the command that runs each failed test alone."""
    stats = terminalreporter.stats
    reports = stats.get("failed", []) + stats.get("error", [])
    failed = dict.fromkeys(report.nodeid for report in reports)
    if failed:
        terminalreporter.section("rerun one test")
    for nodeid in failed:
        terminalreporter.line(f"{PYTEST} {shlex.quote(nodeid)}")


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """A new event loop; pytest-tornado's own relies on one that Python 3.14 no longer creates."""
    with new_loop() as io_loop:
        yield io_loop


@pytest.fixture(autouse=True)
def openapi_violations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fails the test if a server in this process violates the OpenAPI or AsyncAPI document."""
    violations = openapi_checks.install(monkeypatch)
    yield violations
    assert not violations, "\n".join(violations)


@pytest.fixture(scope="session", autouse=True)
def cached_rsa_keys() -> Iterator[None]:
    """Parses each RSA key once: the primality check takes 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RSA, "import_key", functools.cache(RSA.import_key))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_password_hashes() -> Iterator[None]:
    """Hashes passwords in a millisecond instead of 100; the real cost is compared."""
    hasher = functools.partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services.operators.operators, "PasswordHasher", hasher)
        patch.setattr(services.operators.operators, "UNMATCHED_HASH", hasher().hash("no password"))
        yield


@pytest.fixture(scope="session", autouse=True)
def long_retries() -> Iterator[None]:
    """A busy machine must cause neither `try_again`, nor a notification that is sent again, nor a
    review of a name that was not checked in time.

    Tests of these set their own timeouts, or have a server in a program of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.retry, "CONFLICT_SECONDS", RETRY_SECONDS)
        patch.setattr(storage.database, "OPERATION_MS", OPERATION_MS)
        patch.setattr(notifications.post_notification, "__defaults__", (RETRY_SECONDS,))
        patch.setattr(notifications, "QUESTION_SECONDS", RETRY_SECONDS)
        patch.setattr(im, "ANSWER_SECONDS", RETRY_SECONDS)
        patch.setattr(tencent.wechat, "ANSWER_SECONDS", RETRY_SECONDS)
        patch.setattr(NamedLocks.__init__, "__defaults__", (RETRY_SECONDS,))
        patch.setattr(RequestBatcher.__init__, "__defaults__", (RETRY_SECONDS,))
        patch.setattr(ConcurrencyLimit.__init__, "__defaults__", (RETRY_SECONDS,))
        yield
