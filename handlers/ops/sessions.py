"""Operators' endpoint for the sessions of a user: list them, end them."""

from collections.abc import Mapping
from typing import Any

from handlers.base import endpoint
from handlers.ops.base import OperatorHandler
from handlers.schemas import ops_requests, ops_responses
from storage.errors import UserNotFound


class OpsSessionsHandler(OperatorHandler):
    """Sessions of a user: one for each login that has not ended, newest first."""

    async def target_state(self) -> Mapping[str, Any]:
        sessions = await self.context.stores.tokens.sessions(self.path_args[0])
        return {"sessions": [session.id for session in sessions]}

    @endpoint(errors=[UserNotFound])
    async def get(self, user_id: str) -> ops_responses.UserSessionsResponse:
        await self.context.stores.users.get(user_id)
        sessions = await self.context.stores.tokens.sessions(user_id)
        return ops_responses.UserSessionsResponse(
            items=[ops_responses.UserSessionView.model_validate(session) for session in sessions]
        )

    @endpoint(errors=[UserNotFound])
    async def delete(
        self, user_id: str, params: ops_requests.EndSessionsRequest
    ) -> ops_responses.SessionsEndedResponse:
        """End the session `id`, or all of the user's.

        Their sockets close with 4401. With the last session, IM logs the user out. Safe to repeat.
        """
        await self.context.stores.users.get(user_id)
        ended = await self.context.services.sessions.end(user_id, params.id)
        return ops_responses.SessionsEndedResponse(ended=ended)
