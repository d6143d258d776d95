"""Webhooks to an endpoint in this process, each sweep of which sends one event."""

from chaos.crash.environment import CrashEnvironment
from chaos.crash.invariants import webhook_violations
from chaos.crash.marked_sweeps import NEVER
from chaos.crash.paths import CrashPath, SweepPath
from rooms.events import NewEvent
from storage.field_cipher import FieldCipher
from storage.webhooks.webhooks import WebhookStore
from tests.support.webhooks import Receiver, serve_receiver

WEBHOOK = "webhook"
TYPE = "user.banned"


class Webhooks:
    """Events of a run, numbered by `n` in their data."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self._store = WebhookStore(env.database, FieldCipher(""))
        self._written = 0
        self._receiver = Receiver("")
        self._endpoint = ""
        self.paths: list[CrashPath] = [SweepPath(WEBHOOK, self._write)]

    async def finish(self) -> None:
        """Have every event sent, on a server that does not crash."""
        await self._env.wait_until_none(self._make_due, "webhooks_not_sent")

    async def check(self) -> dict[str, int]:
        """Add what was lost, reordered or sent under another id to the violations."""
        received = [(r.id, r.content["data"]["n"]) for r in self._receiver.received]
        self._env.violations.add_all(webhook_violations(self._written, received))
        self._receiver.stop()
        found = {"webhooks": self._written, "webhooks_received": len({id_ for id_, _ in received})}
        return {**found, "webhook_requests": len(received)}

    async def _write(self) -> str:
        """Write the next event; return the endpoint."""
        if not self._endpoint:
            self._receiver = serve_receiver()
            async with self._env.stable_server("no_sweeps"):
                endpoint = {"url": self._receiver.url, "types": [TYPE]}
                made = await self._env.ops_request("POST", "webhooks", **endpoint)
            self._endpoint = made.json["id"]
        await self._env.set_due("webhooks", {"_id": self._endpoint}, NEVER)  # until its sweep
        self._written += 1
        await self._store.add(None, NewEvent(TYPE, {"n": self._written}))
        return self._endpoint

    async def _make_due(self) -> int:
        """Make the endpoint due; return the number of events that wait."""
        await self._env.set_due("webhooks", {"_id": self._endpoint})
        return len(await self._env.rows("webhook_events", {"state": "waiting"}))
