"""The metrics for the console's charts."""

from pydantic import BaseModel

from handlers.base import endpoint
from handlers.health import METRICS_TYPE
from handlers.ops.base import OperatorHandler
from handlers.schemas.responses import Response


class MetricsResponse(Response):
    """Placeholder: the handler writes the page as text."""


class OpsMetricsHandler(OperatorHandler):
    """The page of /metrics, which a reverse proxy does not pass on, for operators."""

    @endpoint()
    async def get(self) -> MetricsResponse:
        self.set_header("Content-Type", METRICS_TYPE)
        self.write(await self.context.metrics.page())
        return MetricsResponse()

    def write_model(self, answer: BaseModel) -> None:  # noqa: ARG002 - written already
        self.finish()
