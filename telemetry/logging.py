"""Structured logging: one line per event, without secrets."""

import contextlib
import logging
import os
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import structlog

log = structlog.get_logger("qlive")

SECRET_NAMES = {
    *("token", "code", "session_key", "key", "secret", "password"),
    *("sig", "sign", "signature"),
}


def _mask_secrets(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask values that are named like a secret, as the last line of defence."""
    for name in event:
        if name.lower() in SECRET_NAMES:
            event[name] = "…"
    return event


def _add_pid(
    pid: int, _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add the pid of this process, unless the event names another one."""
    event.setdefault("pid", pid)
    return event


class _SafeStderr:
    """The current sys.stderr, ignoring write errors.

    A full disk or a closed pipe must not fail a request.
    """

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logging(level: str, *, as_json: bool) -> None:
    """Configure structlog, and send the standard library's loggers through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _mask_secrets,
    ]
    # Plain tracebacks: the pretty ones show local variables, hence tokens and keys.
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        shared.append(partial(_add_pid, os.getpid()))
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(_SafeStderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    if as_json:
        logging.captureWarnings(capture=True)
        sys.excepthook = lambda *raised: log.critical("process_crashed", exc_info=raised)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Handler.on_finish logs requests; Tornado's access log would add the query string, which may
    # contain secrets.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
