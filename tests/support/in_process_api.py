"""An API client of a server in the test's process."""

from datetime import UTC, datetime
from typing import Any

from devtools.simulator.wechat import openid_of
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture


class InProcessApi(ApiFixture):
    """Creates users by the services of the server: four requests for each take 0.1 s.

    tests/handlers/accounts shows these requests.
    """

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(server.address)
        self._server = server

    async def register(self, name: str, gender: int) -> dict[str, Any]:
        context, simulator = self._server.context, self._server.simulator
        if context.settings.pay.provider == "xpay":
            return await super().register(name, gender)  # only WeChat's login has a session key
        user, _ = await context.stores.users.create(
            next(iter(context.settings.wechat.apps)),
            openid_of(name),
            nickname=name,
            gender=gender,
            last_login_time=datetime.now(UTC),
        )
        if simulator:
            profile = {"Nick": user.nickname, "FaceUrl": user.face_url}
            simulator.im.accounts.setdefault(user.user_id, profile)
        return {
            "token": await context.services.sessions.begin(user.user_id),
            "user_id": user.user_id,
        }

    async def grant(self, client: ApiClient, gold: int) -> int:
        balance = await self._server.context.services.ledger.grant(
            client.id, gold, "test", client.name, by="demo"
        )
        granted: int = balance["gold"]
        return granted

    async def make_matchmaker(self, client: ApiClient) -> None:
        await self._server.context.stores.users.update(client.id, is_matchmaker=True)
