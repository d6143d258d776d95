"""Configuration of the mini-program."""

from handlers.auth import ActiveUserHandler
from handlers.base import endpoint
from handlers.schemas import responses


class GetConfigsHandler(ActiveUserHandler):
    """All enabled configs except the exchange and withdraw rates."""

    read_only = True

    @endpoint(limit="read")
    async def get(self) -> responses.ConfigsResponse:
        return responses.ConfigsResponse(await self.context.stores.configs.public_values())
