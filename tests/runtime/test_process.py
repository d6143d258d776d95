"""`python server.py` as a program: start, stop, commands, and a second one beside it."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiFixture
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until
from tests.support.websockets import read_close

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.fixture
def embedded(data_folder: Path) -> ServerProgram:
    """On its own embedded MongoDB, with a log of JSON lines."""
    return ServerProgram(data_folder, logging__json="true")


def log_of(program: ServerProgram) -> list[dict[str, Any]]:
    """Every line of the log, which must be a JSON object."""
    return [json.loads(line) for line in (program.folder / "server.log").read_text().splitlines()]


def events(program: ServerProgram) -> list[str]:
    return [line["event"] for line in log_of(program)]


async def test_server_drains_at_sigterm_and_commands_work_with_and_without_it(
    embedded: ServerProgram,
) -> None:
    async with embedded.serving() as (process, address):
        api = ApiFixture(address)
        assert (await api.request("GET", "/readyz")).status == 200
        host = await api.host()
        status, output, _ = await embedded.run("grant", host.id, "70", "--reason", "test")
        assert (status, output) == (0, f"{host.id} now has 70 gold and 0 income.\n")
        assert (await host.get("qlive_user/get_userinfo/")).ok()["gold"] == 70
        listener = await host.connect()
        assert (await listener.frame())["type"] == "snapshot"
        assert any("mongod" in line for line in embedded.processes())
        process.terminate()
        bye, code = await read_close(listener)
        assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
        assert 100 <= bye["retry_ms"] <= 1000
        assert process.stdout
        assert await process.stdout.read() == b"", "the log is all that is written"
        assert await exit_status(process) == 0
        assert embedded.processes() == []
        await api.close()
    logged = events(embedded)
    assert logged.count("server_listening") == 1
    assert "pictures_of_any_host" not in logged  # a warning in production
    assert logged.index("server_draining") < logged.index("server_stopped") == len(logged) - 1
    status, output, _ = await embedded.run("grant", host.id, "5", "--reason", "more")
    assert (status, output) == (0, f"{host.id} now has 75 gold and 0 income.\n")
    assert embedded.processes() == []


async def test_a_signal_during_the_start_leaves_no_process(embedded: ServerProgram) -> None:
    process = await embedded.serve()
    await until(lambda: any("mongod" in line for line in embedded.processes()))
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
    assert embedded.processes() == []


async def test_port_in_use_is_reported(data_folder: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        program = ServerProgram(data_folder, server__port=port, mongodb__uri=mongo_uri)
        status, output, errors = await program.run()
    assert (status, output) == (1, "")
    assert errors == f"127.0.0.1:{port}: Address already in use; see server.port.\n"


async def test_second_process_joins_mongodb_and_simulator_of_the_first_until_ctrl_c_ends_it(
    embedded: ServerProgram,
) -> None:
    """A second `make run` on another port, beside the first one and after it; without Redis."""
    own_folder = embedded.folder / "second"
    own_folder.mkdir()
    second_program = ServerProgram(
        own_folder,
        mongodb__data_dir=str(embedded.folder / "mongo"),
        logging__json="true",
    )
    async with (
        embedded.serving() as (first, first_address),
        second_program.serving() as (second, second_address),
    ):
        api, second_api = ApiFixture(first_address), ApiFixture(second_address)
        host = await api.host()
        guest = await second_api.guest("bert", 1, host.live_id)  # logs in at the simulator
        listener = await host.connect()
        await listener.next("snapshot")
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        await listener.next("micro_apply")

        os.killpg(first.pid, signal.SIGINT)  # Ctrl-C in its terminal
        assert await exit_status(first) == 0
        assert events(embedded)[-1] == "server_stopped"
        await until(lambda: "mongod_ended" in events(second_program), 30)
        assert (await second_api.request("GET", "/readyz")).status == 503
        second.terminate()
        assert await exit_status(second) == 0
        await api.close()
        await second_api.close()
    assert embedded.processes() == []
