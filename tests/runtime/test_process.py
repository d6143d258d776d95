"""`python server.py` as one process: start, stop, commands and startup errors."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from storage.migrations import SCHEMA
from tests.support.api import ApiFixture
from tests.support.ports import free_port
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until
from tests.support.websockets import read_close

pytestmark = [pytest.mark.programs, pytest.mark.linux]

server_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def embedded(data_folder: Path) -> ServerProgram:
    """On its own embedded MongoDB."""
    return ServerProgram(data_folder)


@server_test
async def test_server_serves_until_sigterm_then_drains_and_leaves_no_process(
    embedded: ServerProgram,
) -> None:
    async with embedded.serving() as (process, address):
        api = ApiFixture(address)
        assert (await api.request("GET", "/readyz")).status == 200
        host = await api.host()
        socket_ = await host.connect()
        assert (await socket_.frame())["type"] == "snapshot"
        assert any("mongod" in line for line in embedded.processes())
        process.terminate()
        bye, code = await read_close(socket_)
        assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
        assert 100 <= bye["retry_ms"] <= 1000
        assert await exit_status(process) == 0
        assert embedded.processes() == []
        await api.close()
    log = (embedded.folder / "server.log").read_text()
    assert "server_draining" in log
    assert "server_stopped" in log


@server_test
async def test_ctrl_c_in_the_terminal_stops_server_and_mongod_cleanly(
    embedded: ServerProgram,
) -> None:
    async with embedded.serving() as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        assert await exit_status(process) == 0
        assert embedded.processes() == []
    assert "Traceback" not in (embedded.folder / "server.log").read_text()


@server_test
async def test_a_signal_during_the_start_leaves_no_process(embedded: ServerProgram) -> None:
    process = await embedded.serve()
    await until(lambda: any("mongod" in line for line in embedded.processes()))
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
    assert embedded.processes() == []


@server_test
async def test_an_unavailable_mongodb_ends_the_start(data_folder: Path) -> None:
    unreachable = f"mongodb://127.0.0.1:{free_port()}/"
    status, output, errors = await ServerProgram(data_folder, mongodb__uri=unreachable).run()
    assert (status, output) == (1, "")
    assert "MongoDB is unavailable; check mongodb.uri." in errors
    assert "Traceback" not in errors


@server_test
async def test_start_and_stop_log_json_only_with_json_logging(
    data_folder: Path, mongo_uri: str
) -> None:
    program = ServerProgram(
        data_folder,
        mongodb__uri=mongo_uri,
        mongodb__database="qlive_test_json",
        logging__json="true",
    )
    process = await program.serve()
    await until(lambda: "server_listening" in (data_folder / "server.log").read_text())
    process.terminate()
    assert await exit_status(process) == 0
    logged = [line["event"] for line in parsed_lines((data_folder / "server.log").read_text())]
    assert logged.count("server_listening") == 1
    assert logged[-1] == "server_stopped"


def parsed_lines(text: str) -> list[dict[str, Any]]:
    """Every line, which must be a JSON object."""
    return [json.loads(line) for line in text.splitlines()]


@server_test
async def test_unknown_setting_is_reported_as_json_outside_a_terminal(data_folder: Path) -> None:
    status, output, errors = await ServerProgram(data_folder, server__prot="1").run()
    assert (status, output) == (2, "")
    (failure,) = parsed_lines(errors)
    assert failure["event"] == "settings_invalid"
    assert failure["problems"] == ["QLIVE_SERVER__PROT: unknown setting"]


@server_test
async def test_port_in_use_is_reported(data_folder: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        program = ServerProgram(data_folder, server__port=port, mongodb__uri=mongo_uri)
        status, output, errors = await program.run()
    assert (status, output) == (1, "")
    assert errors == f"127.0.0.1:{port}: Address already in use; see server.port.\n"


@server_test
async def test_schema_that_excludes_this_server_is_reported(
    data_folder: Path, mongo_uri: str, mongo: MongoClient[Any]
) -> None:
    name = "qlive_test_newer"
    mongo[name].schema.insert_one({"_id": "schema", "version": SCHEMA + 2, "oldest": SCHEMA + 1})
    program = ServerProgram(data_folder, mongodb__uri=mongo_uri, mongodb__database=name)
    status, output, errors = await program.run()
    mongo.drop_database(name)
    assert (status, output) == (1, "")
    assert errors == (
        f"The database has schema {SCHEMA + 2}, which servers older than schema {SCHEMA + 1} cannot"
        f" use, and this server has schema {SCHEMA}: start a newer release.\n"
    )


@server_test
async def test_commands_work_with_and_without_a_running_server(
    embedded: ServerProgram,
) -> None:
    async with embedded.serving() as (process, address):
        api = ApiFixture(address)
        anna = await api.user("anna", 2)
        status, output, _ = await embedded.run("grant", anna.id, "70", "--reason", "test")
        assert (status, output) == (0, f"{anna.id} now has 70 gold and 0 income.\n")
        assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 70
        await api.close()
        process.terminate()
        assert await exit_status(process) == 0
    status, output, _ = await embedded.run("grant", anna.id, "5", "--reason", "more")
    assert (status, output) == (0, f"{anna.id} now has 75 gold and 0 income.\n")
    assert embedded.processes() == []


@server_test
async def test_command_that_fails_explains_why_in_one_line(
    data_folder: Path, mongo_uri: str
) -> None:
    program = ServerProgram(
        data_folder, mongodb__uri=mongo_uri, mongodb__database="qlive_test_program"
    )
    status, output, errors = await program.run("grant", "10000000", "5", "--reason", "nobody")
    assert (status, output) == (1, "")
    assert len(errors.strip().splitlines()) == 1, errors
