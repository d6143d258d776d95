"""A gift on a new primary that does not show yet all that the old one had acknowledged."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from chaos.replica_set import MEMBERS, ReplicaSet, command
from storage.database import Database
from tests.support.gift_fixture import GiftFixture
from tests.support.ports import free_ports
from tests.support.storage import NAME, StoresFixture
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]


class StaleFailover:
    """Moves a set of three to a new primary that has a write, and does not know it to be committed.

    The old primary acknowledges the write when `next_primary` has it, and is killed before it can
    say so to any other member. `voter` elects, but does not replicate.
    """

    def __init__(self, replica_set: ReplicaSet, old: int) -> None:
        self.replica_set, self.old = replica_set, old
        self.next_primary, self.voter = (port for port in replica_set.ports if port != old)

    async def delay_writes(self) -> None:
        """From now on, no member but the primary applies what is written."""
        await _fail_point(self.voter, "stopReplProducer", "alwaysOn")
        await _fail_point(self.next_primary, "rsSyncApplyStop", "alwaysOn")

    async def acknowledge(self, write: "asyncio.Task[object]") -> None:
        """Let the next primary apply a write that it has received, but hear no more."""
        await until(self._has_received_all)
        where = {"namespace": "local.oplog.rs"}
        name = "planExecutorHangWhileYieldedInWaitForInserts"
        await _fail_point(self.old, name, "alwaysOn", data=where)
        await _fail_point(self.next_primary, "rsSyncApplyStop", "off")
        await write

    async def fail_over(self) -> None:
        self.replica_set.kill(self.old)
        await until(lambda: command(self.next_primary, "replSetStepUp"))
        assert await self.replica_set.primary() == self.next_primary

    async def replicate(self) -> None:
        await _fail_point(self.voter, "stopReplProducer", "off")

    async def _has_received_all(self) -> bool:
        received = await command(self.next_primary, "serverStatus") or {}
        return bool(received["metrics"]["repl"]["buffer"]["count"])


async def _fail_point(port: int, name: str, mode: str, **more: object) -> None:
    assert await command(port, "configureFailPoint", name, mode=mode, **more)


@pytest.fixture
def replica_set(io_loop: IOLoop, tmp_path: Path) -> Iterator[ReplicaSet]:
    replica_set = ReplicaSet(tmp_path, free_ports(MEMBERS), enableTestCommands="1")
    io_loop.run_sync(replica_set.start)
    yield replica_set
    io_loop.run_sync(replica_set.stop)


@pytest.mark.gen_test(timeout=120)
async def test_granted_gold_is_not_refused_by_a_new_primary(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.OPERATION_MS", 60_000)  # commits wait for this test
    failover = StaleFailover(replica_set, await replica_set.primary())
    before = Database(replica_set.uri, NAME)
    fixture = await GiftFixture.create(StoresFixture(before), (9, 0), (0, 0))
    transfer = fixture.rose("r")
    await failover.delay_writes()
    grant = fixture.process.ledger_service.grant(transfer.sender, 1, "test", "g", "ops")
    await failover.acknowledge(asyncio.ensure_future(grant))
    await failover.fail_over()
    after = Database(replica_set.uri, NAME)
    fixture = GiftFixture(StoresFixture(after), fixture.user_ids, fixture.live_id)
    assert await fixture.balances() == [(9, 0), (0, 0)], "the new primary does not show it yet"
    gift = asyncio.ensure_future(fixture.process.give(transfer))
    await until(lambda: "confirmed" in fixture.process.gift_batches.loaded)
    assert not gift.done()
    await failover.replicate()
    assert (await gift)["gold"] == 0
    for database in (before, after):
        await database.close()
