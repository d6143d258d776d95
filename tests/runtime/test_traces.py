"""Traces of servers with OpenTelemetry switched on, taken by a collector of the test."""

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from config.settings import Settings
from devtools.development_secrets import DevSecrets
from tests.support.api import ApiClient, ApiFixture
from tests.support.collector import Collector
from tests.support.server_program import ServerProgram
from tests.support.waiting import until

pytestmark = pytest.mark.programs

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BUILT_WITHOUT_TRACES = """
import asyncio, sys, server
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from pathlib import Path
from runtime import container, development, process

async def build():
    values = {"redis": {"url": "redis://127.0.0.1:9/"}}
    settings, _ = fill_in_secrets(Settings.model_validate(values), Path(sys.argv[1]))
    context = container.build(settings, "mongodb://127.0.0.1:9/", "http://x", "http://x/sim")
    await container.close(context)

asyncio.run(build())
print(*(name for name in sys.modules if name.startswith(("opentelemetry", "google"))))
"""


def program(folder: Path, collector: Collector, settings: Settings, redis: str) -> ServerProgram:
    return ServerProgram(
        folder,
        mongodb__uri=settings.mongodb.uri,
        mongodb__database=settings.mongodb.database,
        redis__url=redis,
        im__relay="false",  # each server has its own IM simulator
        traces__endpoint=collector.url,
        traces__sample="0",  # only what the test asks for
    )


async def apply_traced(guest: ApiClient) -> None:
    """A change of the room, as a part of the trace TRACE."""
    headers = {
        "Authorization": f"QLiveToken {guest.token}",
        "traceparent": f"00-{TRACE}-{CALLER}-01",
    }
    path = "/wx/api/qlive/qlive_room/apply_micro/"
    reply = await guest.api.request("POST", path, json={"live_id": guest.live_id}, headers=headers)
    assert reply.ok()
    assert reply.headers["X-Request-Id"] == TRACE


@pytest.mark.gen_test(timeout=90)
async def test_a_change_is_one_trace_across_two_processes(
    collector: Collector,
    redis_url: str,
    settings: tuple[Settings, DevSecrets],
    data_folder: Path,
) -> None:
    async with AsyncExitStack() as stack:
        servers = [program(data_folder, collector, settings[0], redis_url) for _ in range(2)]
        first, second = [
            (await stack.enter_async_context(server.serving()))[1] for server in servers
        ]
        here, there = (ApiFixture(address) for address in (first, second))
        stack.push_async_callback(here.close)
        stack.push_async_callback(there.close)
        host = await here.host()
        guest = await here.guest("bert", 1, host.live_id)
        listener = await there.socket(host.live_id, host.token)
        await listener.next("snapshot")
        await apply_traced(guest)
        await listener.next("micro_apply")
        [fanout] = await until(lambda: collector.named("event.fanout"))
        [commit] = await until(lambda: collector.named("room.commit"))
        await until(lambda: collector.named("ApplyMicro"))
        call, keeper, publish = (
            collector.named(name, TRACE)[0]
            for name in ("ApplyMicro", "keeper.change", "event.publish")
        )
        assert call.parent == CALLER
        assert keeper.parent == call.id
        assert [commit.parent, publish.parent] == [keeper.id, keeper.id]
        assert fanout.parent == publish.id
        assert call.process == keeper.process == commit.process == publish.process
        assert fanout.process != call.process
        assert {span.trace for span in collector.spans} == {TRACE}, "nothing else was asked for"
        write = collector.named("mongodb.update")[0]
        assert collector.path_to(write)[:3] == ["ApplyMicro", "keeper.change", "room.commit"]


@pytest.mark.gen_test(timeout=60)
async def test_with_traces_off_nothing_of_opentelemetry_is_loaded(secrets_file: Path) -> None:
    command = [sys.executable, "-c", BUILT_WITHOUT_TRACES, str(secrets_file)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().strip()) == (0, "")
