"""What OpenTelemetry's SDK needs to start and send spans: trace ids, sampling, the exporter."""

import logging
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

log = structlog.get_logger("qlive.traces")

TIMEOUT_SECONDS = 5.0
"""Of one batch, with its retries."""
_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")


class RequestIds(RandomIdGenerator):
    """Makes a request id that has the form of a trace id the next trace id."""

    def __init__(self) -> None:
        self._wanted = ""

    @contextmanager
    def wanting(self, request_id: str) -> Iterator[None]:
        """Without `await` inside: what is wanted is wanted by the whole process."""
        self._wanted = request_id if _TRACE_ID.fullmatch(request_id) else ""
        try:
            yield
        finally:
            self._wanted = ""

    def is_trace_id_random(self) -> bool:
        return False

    def generate_trace_id(self) -> int:
        return int(self._wanted, 16) if self._wanted else super().generate_trace_id()


class RandomShare(Sampler):
    """Samples a share of the traces at random.

    The SDK's own sampler decides by the digits of the trace id. Those that clients make from a
    UUID are not evenly distributed: of them it would sample none below a share of a half.
    """

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002 - the SDK's interface
        trace_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampled = random.random() < self._share
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(decision, attributes if sampled else None, trace_state)

    def get_description(self) -> str:
        return f"RandomShare({self._share})"


class LoggedExporter(SpanExporter):
    """Logs when spans can no longer be sent, and when they can again: one line each."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces_export_failed")
            self._lost += len(spans)
        elif self._lost:
            log.info("traces_export_resumed", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def collector_exporter(endpoint: str) -> SpanExporter:
    """Sends spans as OTLP over HTTP; OTEL_EXPORTER_OTLP_HEADERS may have a collector's token.

    The packages' own log lines, one for each attempt, are replaced by those of `LoggedExporter`.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    session = requests.Session()
    session.trust_env = False  # as for Tencent: no proxies or .netrc of the environment
    exporter = OTLPSpanExporter(endpoint, timeout=TIMEOUT_SECONDS, session=session)
    return LoggedExporter(exporter)
