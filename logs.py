"""The log: one structured line per thing that happened, never a secret."""

import contextlib
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET = ("token", "code", "session_key", "key", "secret", "sig", "sign", "signature", "password")


def _hide(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A last guard: whatever is named like a secret is not written."""
    for name in event:
        if name.lower() in SECRET:
            event[name] = "…"
    return event


def _sign(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Which of several processes says it, unless it speaks of another."""
    event.setdefault("pid", os.getpid())
    return event


class _Patient:
    """The standard error as it is at the time. A log that cannot be written, on a full disk or to
    somebody who has gone, must fail no request."""

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def set_up(level: str, *, as_json: bool) -> None:
    """For this process: structlog, and the standard library's loggers through the same lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide,
    ]
    # Plain tracebacks: the pretty ones show local variables, and with them tokens and keys.
    last: Any = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        shared.append(_sign)
        last = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(_Patient()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Tornado says at "info" what Handler.on_finish says; it writes the query, which may hold
    # anything.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
