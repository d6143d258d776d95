"""`python server.py` as one process: start, stop, commands and startup errors."""

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config.settings import Settings
from storage.migrations.steps import SCHEMA
from tests.support.api import ApiFixture
from tests.support.server_program import ServerProgram, exit_status
from tests.support.websockets import read_close

pytestmark = [pytest.mark.programs, pytest.mark.linux]

server_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def embedded(data_folder: Path) -> ServerProgram:
    """On its own embedded MongoDB."""
    return ServerProgram(data_folder)


@pytest.fixture
def external(data_folder: Path, mongo_uri: str) -> ServerProgram:
    """On the MongoDB of the tests."""
    return ServerProgram(
        data_folder, mongodb__uri=mongo_uri, mongodb__database="qlive_test_program"
    )


@server_test
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_server_starts_serves_and_leaves_no_process_after_a_signal(
    embedded: ServerProgram, number: int
) -> None:
    async with embedded.serving() as (process, address):
        api = ApiFixture(address)
        assert (await api.request("GET", "/readyz")).status == 200
        anna = await api.user("anna", 2)
        assert (await anna.get("get_livelist/")).ok() == []
        await api.close()
        assert any("mongod" in line for line in embedded.processes())
        process.send_signal(number)
        assert await exit_status(process) == 0
        assert embedded.processes() == []


@server_test
async def test_shutdown_tells_sockets_when_to_reconnect(
    external: ServerProgram, settings: tuple[Settings, Any]
) -> None:
    async with external.serving() as (process, address):
        api = ApiFixture(address)
        host = await api.host()
        socket_ = await host.connect()
        assert (await socket_.frame())["type"] == "snapshot"
        process.terminate()
        bye, code = await read_close(socket_)
        assert (bye["code"], code, bye["reconnect"]) == (4000, 4000, True)
        assert 100 <= bye["retry_ms"] <= 1000
        assert await exit_status(process) == 0
        await api.close()


@server_test
async def test_unknown_setting_is_reported(data_folder: Path) -> None:
    status, output, errors = await ServerProgram(data_folder, server__prot="1").run()
    assert (status, output) == (2, "")
    assert "QLIVE_SERVER__PROT: unknown setting" in errors
    assert "Traceback" not in errors


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
    embedded: ServerProgram, settings: tuple[Settings, Any]
) -> None:
    async with embedded.serving() as (process, address):
        api = ApiFixture(address)
        anna = await api.user("anna", 2)
        status, output, _ = await embedded.run("grant", anna.id, "70", "--reason", "test")
        assert (status, output) == (0, f"{anna.id} now has 70 gold and 0 income.\n")
        assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 70
        reply = await anna.post("qlive_room/matchmaker_enter/")
        assert reply.refusal == (403, "not_matchmaker")
        status, output, _ = await embedded.run("matchmaker", anna.id)
        assert (status, output) == (0, f"{anna.id} is now a matchmaker.\n")
        assert (await anna.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
        await api.close()
        process.terminate()
        assert await exit_status(process) == 0
    status, output, _ = await embedded.run("check-ledger")
    assert (status, output) == (0, "Every unit of gold and income is accounted for.\n")
    status, output, _ = await embedded.run("rebuild-ranks")
    assert (status, output) == (0, "Every ranking matches the ledger.\n")
    status, output, _ = await embedded.run("grant", anna.id, "5", "--reason", "more")
    assert (status, output) == (0, f"{anna.id} now has 75 gold and 0 income.\n")
    assert embedded.processes() == []


@server_test
@pytest.mark.parametrize(
    "arguments",
    [
        ("grant", "10000000", "5", "--reason", "nobody"),
        ("matchmaker", "10000000"),
        ("matchmaker", "10000000", "--off"),
    ],
)
async def test_command_that_fails_explains_why(external: ServerProgram, arguments: Any) -> None:
    status, output, errors = await external.run(*arguments)
    assert (status, output) == (1, "")
    assert len(errors.strip().splitlines()) == 1, errors


@server_test
async def test_grant_of_no_gold_is_a_wrong_argument(external: ServerProgram) -> None:
    status, output, errors = await external.run("grant", "10000000", "0", "--reason", "nothing")
    assert (status, output) == (2, "")
    assert errors.endswith("error: argument gold: GOLD must be at least 1.\n")
