import signal
from pathlib import Path

import pytest

from tests.deploy.evening import Evening, two_machines
from tests.deploy.front import OPS_TOKEN, a_front
from tests.phones import Street

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.mark.gen_test(timeout=180)
async def test_machine_after_machine_is_restarted_and_nothing_is_lost(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/deploy.md says: out of nginx, SIGTERM, a new one, into nginx again."""
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (nginx, front),
    ):
        direct = Street(machines[0].address, OPS_TOKEN)
        evening = await Evening.of(direct, front)
        await direct.close()
        async with evening.going_on():
            for name, machine in zip(("first", "second"), machines, strict=True):
                await nginx.reload(**{name: "down"})
                await machine.end()
                await evening.more(2)
                await machine.start()
                await nginx.reload()
        assert all(one.resumed for one in evening.listeners)
        assert set(front.statuses) == {200}, front.statuses


@pytest.mark.gen_test(timeout=180)
async def test_a_restart_nobody_announced_costs_a_second_attempt_and_a_kill_a_pause(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`systemctl restart` alone, then `kill -9`: requests are repeated, and no gift is lost."""
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (_, front),
    ):
        direct = Street(machines[1].address, OPS_TOKEN)
        evening = await Evening.of(direct, front)
        await direct.close()
        async with evening.going_on():
            for machine in machines:
                await machine.end()
                await evening.more(2)
                await machine.start()
                await evening.more(1)
            # Whatever was under way is answered: no first attempt was done unseen (409).
            assert set(front.statuses) <= {200, 503}, front.statuses
            for machine in machines:
                await machine.end(signal.SIGKILL)
                await evening.more(2)
                await machine.start()
                await evening.more(1)
        assert all(one.resumed for one in evening.listeners)
        # 409: the seat is taken already, since the answer to the first attempt was lost.
        assert set(front.statuses) <= {200, 409, 503}, front.statuses
