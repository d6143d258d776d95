"""Requests to the operators' API beyond `ApiFixture.ops`."""

import time
from typing import Any

from runtime.process import ServerProcess
from services.operators.operators import STEP_SECONDS, Login, code_of
from services.operators.roles import Role
from storage.operators.operators import OperatorAccount
from tests.support.api import ApiFixture, Reply

GRANT = {"gold": 10, "reason": "birthday", "request_id": "one"}
"""Body of a gold grant."""


async def operator_request(api: ApiFixture, method: str, path: str, **kwargs: Any) -> Reply:
    """A request of the demo operator, an admin; `kwargs` go to aiohttp: params, data, json."""
    headers = {"Authorization": f"Bearer {await api.operator_token()}"}
    return await api.request(method, f"/ops/api/{path}", headers=headers, **kwargs)


async def operator_as(server: ServerProcess, name: str, role: Role) -> dict[str, str]:
    """Headers of a new operator of this role who is logged in."""
    stores, credential = server.context.stores, name
    await stores.operators.add(OperatorAccount(name, role, "", "", credential, None))
    token, _ = await stores.operator_sessions.issue(name, credential)
    return {"Authorization": f"Bearer {token}"}


def code_now(secret: str, later: int = 0) -> str:
    """The code of an authenticator app, or one of the `later` ones."""
    return code_of(secret, int(time.time()) // STEP_SECONDS + later)


async def first_login(server: ServerProcess, role: Role, password: str) -> tuple[Login, str]:
    """The first login of anna, a new operator, and the secret of her second factor."""
    operators = server.context.services.operators.operators
    one_time = await operators.add("anna", role)
    secret = (await operators.second_factor("anna", one_time)).secret
    return await operators.first_log_in("anna", one_time, password, code_now(secret)), secret
