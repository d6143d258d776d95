"""Paths of operators' decisions, each of which is repeated until it is acknowledged."""

from collections.abc import Collection

from chaos.crash.environment import CrashEnvironment
from chaos.crash.stock import Stock


class OperatorPath:
    """An operator decides on targets of a stock, one request each."""

    def __init__(
        self,
        name: str,
        env: CrashEnvironment,
        stock: Stock,
        address: str,
        undecided: Collection[str],
    ) -> None:
        """`address` of the decision, with {} for the target's id; `undecided`: states before it."""
        self.name = name
        self.acknowledged_at_once = 0
        self.stock = stock
        self._env, self._address, self._undecided = env, address, undecided
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the id of the next target."""
        id_: str = await self.stock.take()
        return id_

    async def repair(self) -> None:
        if self._pending:
            await self.decide(self._pending)
            self._pending = ""

    async def attempt(self, target: str) -> None:
        """Send the decision once; its server crashes meanwhile."""
        self._pending = target
        path = self._address.format(target)
        response = await self._env.ops_request_once("POST", path, reason="chaos")
        self.acknowledged_at_once += response.succeeded

    async def settle(self) -> None:
        await self.repair()

    async def decide(self, id_: str) -> None:
        """Send the decision until it is acknowledged."""
        path = self._address.format(id_)
        decided = await self._env.ops_request("POST", path, reason="chaos")
        if decided.succeeded and decided.json["state"] in self._undecided:
            self._env.violations.add("unexpected_response", f"{path}: {decided}")
