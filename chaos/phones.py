"""Phones that call the contract through whichever process they reach, and do not give up soon."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from chaos.figures import Figures
from chaos.fleet import Fleet, Node
from chaos.story import Faults

BASE = "/wx/api/qlive/"
TRY_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
AGAIN = (0, 429, 503)
"""Statuses after which a phone asks again; 0 stands for no answer at all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 0 when nobody answered within the phone's patience."""

    status: int
    json: Any = None
    doubtful: bool = False
    """An earlier try went unanswered, and may still be carried out."""

    @property
    def ok(self) -> bool:
        return self.status == 200


class Network:
    """Where requests go out, and where it is written down what became of them."""

    def __init__(
        self, fleet: Fleet, figures: Figures, faults: Faults, chance: random.Random
    ) -> None:
        self._fleet, self._figures, self._faults = fleet, figures, faults
        self._chance = chance
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TRY_SECONDS),
        )

    async def close(self) -> None:
        await self._http.close()

    async def ask(
        self,
        method: str,
        path: str,
        sent: Mapping[str, Any],
        headers: Mapping[str, str],
        node: Node | None = None,
    ) -> Answer:
        """Ask again, of any process (or of `node`), until answered or out of patience."""
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
        doubtful = False
        while True:
            through = node or self._chance.choice(self._fleet.nodes)
            answer = await self.once(method, path, sent, headers, through)
            if answer.status not in AGAIN or time.monotonic() > deadline:
                return replace(answer, doubtful=doubtful)
            doubtful = doubtful or answer.status == 0
            await asyncio.sleep(self._chance.uniform(0.05, pause))
            pause = min(2.0, 2 * pause)

    async def once(
        self,
        method: str,
        path: str,
        sent: Mapping[str, Any],
        headers: Mapping[str, str],
        node: Node,
    ) -> Answer:
        """One try."""
        how: Any = {"params" if method == "GET" else "json": sent}
        url = f"http://127.0.0.1:{node.port}{path}"
        try:
            async with self._http.request(method, url, headers=headers, **how) as got:
                answer = Answer(got.status, await got.json())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            answer = Answer(0)
        self._note(path, answer)
        return answer

    async def operate(self, method: str, path: str, **body: Any) -> Answer:
        """A call of the operators' API."""
        headers = {"Authorization": f"Bearer {self._fleet.ops_token}"}
        return await self.ask(method, f"/ops/api/{path}", body, headers)

    def _note(self, path: str, answer: Answer) -> None:
        self._figures.answered(answer.status)
        if answer.status >= 400 and answer.status not in AGAIN:
            code = answer.json.get("code", "") if isinstance(answer.json, dict) else ""
            self._figures.refusals[f"{path.removeprefix(BASE)} {answer.status} {code}"] += 1
            if answer.status in (401, 500, 502, 504):
                self._faults.add(f"http_{answer.status}", f"{path}: {answer.json}")


class Phone:
    """One person's phone, logged in."""

    def __init__(self, network: Network, name: str, gender: int, account: dict[str, Any]) -> None:
        self.name, self.gender = name, gender
        self.id: str = account["user_id"]
        self.token: str = account["token"]
        self.live_id = 0
        self._network = network

    async def get(self, path: str, **sent: Any) -> Answer:
        return await self._network.ask("GET", BASE + path, sent, self.headers)

    async def post(self, path: str, **sent: Any) -> Answer:
        return await self._network.ask("POST", BASE + path, sent, self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"QLiveToken {self.token}"}


async def log_in(network: Network, node: Node, name: str, gender: int) -> Phone:
    """A new person. The played WeChat of a process knows only the codes that it gave itself."""
    body = {"name": name, "gender": gender}
    code = await network.ask("POST", "/sim/phone/login", body, {}, node)
    account = await network.ask("POST", f"{BASE}qlive_user/", code.json, {}, node)
    if not account.ok:
        raise RuntimeError(f"{name} could not log in: {account}")
    return Phone(network, name, gender, account.json)
