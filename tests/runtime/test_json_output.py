"""With logging.json every line that a start prints is one JSON object."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_program import ServerProgram, exit_status
from tests.support.supervised_program import NO_REDIS

pytestmark = [pytest.mark.programs, pytest.mark.linux]
starts_program = pytest.mark.gen_test(timeout=60)


def program(folder: Path, mongo_uri: str, **settings: str) -> ServerProgram:
    own = {"mongodb__uri": mongo_uri, "mongodb__database": "qlive_test_json"}
    return ServerProgram(folder, **{**own, "logging__json": "true", **settings})


def events(text: str) -> list[dict[str, Any]]:
    """Every line, parsed."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
@starts_program
async def test_a_start_and_stop_print_json_only(
    data_folder: Path, mongo_uri: str, workers: str
) -> None:
    server = program(data_folder, mongo_uri, server__workers=workers, redis__url=NO_REDIS)
    process = await server.serve()
    assert process.stdout
    (welcome,) = events((await process.stdout.readline()).decode())
    assert (welcome["event"], welcome["address"][:7]) == ("development_ready", "http://")
    process.terminate()
    assert await exit_status(process) == 0
    assert await process.stdout.read() == b""
    logged = [line["event"] for line in events((data_folder / "server.log").read_text())]
    assert logged.count("server_listening") == int(workers)
    assert logged[-1] == "server_stopped"


@starts_program
async def test_a_failed_start_prints_json_only(data_folder: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        status, output, errors = await program(data_folder, mongo_uri, server__port=str(port)).run()
    assert (status, output) == (1, "")
    (failure,) = events(errors)
    assert failure["event"] == "command_failed"
    assert failure["why"] == f"127.0.0.1:{port}: Address already in use; see server.port."


@starts_program
async def test_invalid_settings_are_printed_as_json(data_folder: Path, mongo_uri: str) -> None:
    status, output, errors = await program(data_folder, mongo_uri, server__prot="1").run()
    assert (status, output) == (2, "")
    (failure,) = events(errors)
    assert failure["event"] == "settings_invalid"
    assert failure["problems"] == ["QLIVE_SERVER__PROT: unknown setting"]
