"""The demo operator of development, an admin who logs in without a password."""

import secrets
from contextlib import suppress
from typing import Any, cast

from handlers.base import Handler, endpoint
from handlers.ops.login import login_response
from handlers.schemas.ops_responses import OperatorLoginResponse
from services.operators import Login
from services.roles import Operator, Role
from storage.errors import OperatorExists
from storage.operators import DEMO, OperatorAccount, OperatorStore

NO_HASH = "-"
"""Matches no password, so that only this endpoint logs in."""


class DemoOperatorLoginHandler(Handler):
    """Log in to the operators' API as an admin, in development only."""

    label = "Sim"

    def parameters(self) -> dict[str, Any]:
        """None are read, whatever the body is."""
        return {}

    @endpoint()
    async def post(self) -> OperatorLoginResponse:
        stores = self.context.stores
        account = await _demo_account(stores.operators)
        token, session = await stores.operator_sessions.issue(DEMO, account.credential)
        operator = Operator(DEMO, cast(Role, account.role))
        return login_response(self, Login(token, operator, session.expires_at))


async def _demo_account(operators: OperatorStore) -> OperatorAccount:
    """The account, added by the first login; two processes may do so at the same time."""
    if account := await operators.find(DEMO):
        return account
    credential = secrets.token_hex(16)
    with suppress(OperatorExists):
        await operators.add(OperatorAccount(DEMO, "admin", NO_HASH, "", credential, None))
    return await operators.get(DEMO)
