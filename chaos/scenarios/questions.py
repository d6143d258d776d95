"""Apple asks whether to refund orders of users who give gifts meanwhile: each question in time."""

import asyncio
import time
from dataclasses import replace

from chaos.http_client import ApiUser
from chaos.metrics import percentile
from chaos.report import RunReport, in_ms, make_report
from chaos.run import Run, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.scenarios import gold
from chaos.xpay_orders import GOLD, add_paid_order, delivery_push, push_address
from devtools.simulator.reports import post_for_reply
from storage.database import Database
from tencent.platform_events import REFUND_QUESTION

QUESTIONS_PER_SECOND = 5
QUESTION_SECONDS = 3.0
"""After that WeChat asks again."""
P99_MS = 1_000
SIZE = replace(gold.SIZE, proxied=False)
"""The proxies, in this process, would delay every command of an answer."""


class AppleQuestions:
    """Questions about the orders of all givers, one giver after the other."""

    def __init__(self, run: Run) -> None:
        self.seconds: list[float] = []
        self._run = run
        self._simulator = run.fleet.tencent.simulator
        self._orders: list[str] = []

    async def add_orders(self, givers: list[ApiUser]) -> None:
        """A paid order of each giver, credited before the gifts."""
        database = Database(self._run.fleet.mongodb.uri, self._run.fleet.database)
        try:
            for giver in givers:
                number = await add_paid_order(database, self._simulator, giver.id)
                push = delivery_push(self._simulator, number, self._server(0))
                status, _ = await post_for_reply(push, QUESTION_SECONDS)
                assert status == 200, f"order {number}: HTTP {status}"
                self._orders.append(number)
        finally:
            await database.close()
        self._run.gold_received += GOLD

    async def ask_for(self, seconds: float) -> None:
        """Returns once every question is answered."""
        started, asked = time.monotonic(), list[asyncio.Task[None]]()
        while time.monotonic() - started < seconds:
            asked.append(asyncio.create_task(self._ask(len(asked))))
            await asyncio.sleep(len(asked) / QUESTIONS_PER_SECOND - (time.monotonic() - started))
        await asyncio.gather(*asked)

    async def _ask(self, number: int) -> None:
        order = self._orders[number % len(self._orders)]
        content = self._simulator.platform_events.contents({"order": order})[REFUND_QUESTION]
        push = self._simulator.pushes.report(push_address(self._server(number)), content, "once")
        started = time.monotonic()
        status, body = await post_for_reply(push, QUESTION_SECONDS)
        self.seconds.append(time.monotonic() - started)
        answer = self._simulator.pushes.open_reply(body) if status == 200 else None
        if not answer or answer.get("result_code") not in (0, 1):
            self._run.violations.add("question_unanswered", f"HTTP {status}: {answer}")

    def _server(self, number: int) -> str:
        nodes = self._run.fleet.nodes
        return f"http://127.0.0.1:{nodes[number % len(nodes)].port}"


async def questions(config: RunConfig) -> RunReport:
    """`config.seconds`: how long gifts are given and questions asked."""
    async with started_run(config.folder, config.size, config.seed) as run:
        load, apple = gold.GiftLoad(run), AppleQuestions(run)
        await load.grant_gold()
        await apple.add_orders([guest for room in run.rooms for guest in room.guests])
        started = time.monotonic()
        await asyncio.gather(load.give_for(config.seconds), apple.ask_for(config.seconds))
        figures = await load.audit(time.monotonic() - started)
        report = make_report(
            run,
            "questions",
            time.monotonic() - started,
            **figures,
            questions=len(apple.seconds),
            question_ms_p50=in_ms(percentile(apple.seconds, 0.5)),
            question_ms_p99=in_ms(percentile(apple.seconds, 0.99)),
            question_ms_max=in_ms(percentile(apple.seconds, 1)),
        )
        report.require("question_ms_p99", P99_MS)
        report.require("gifts_per_second", 0.85 * gold.PER_SECOND, at_least=True)
        return report


SCENARIO = Scenario(
    questions, "Apple's questions about users who give gifts", (SIZE, 20), (SIZE, 60)
)
