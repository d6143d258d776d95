"""Operators who log in, and what they send."""

import time

from runtime.process import ServerProcess
from services.operators.operators import STEP_SECONDS, Login, code_of
from services.operators.roles import Role
from storage.operators.operators import OperatorAccount

GRANT = {"gold": 10, "reason": "birthday", "request_id": "one"}
"""Body of a gold grant."""
PASSWORD = "correct horse battery"


async def operator_as(server: ServerProcess, name: str, role: Role) -> dict[str, str]:
    """Headers of a new operator of this role who is logged in."""
    stores, credential = server.context.stores, name
    await stores.operators.add(OperatorAccount(name, role, "", "", credential, None))
    token, _ = await stores.operator_sessions.issue(name, credential)
    return {"Authorization": f"Bearer {token}"}


def code_now(secret: str, later: int = 0) -> str:
    """The code of an authenticator app for a secret as it is shown, now or some steps `later`."""
    return code_of(secret.replace(" ", ""), int(time.time()) // STEP_SECONDS + later)


async def first_login(server: ServerProcess, role: Role) -> tuple[Login, str]:
    """The first login of anna, a new operator, with PASSWORD.

    Returns the secret of her second factor, too.
    """
    operators = server.context.services.operators.operators
    one_time = await operators.add("anna", role)
    secret = (await operators.second_factor("anna", one_time)).secret
    return await operators.first_log_in("anna", one_time, PASSWORD, code_now(secret)), secret
