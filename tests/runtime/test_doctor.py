"""The command `doctor`, beside a running server and without one."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import server as program
from config.settings import Settings
from runtime.doctor import table
from runtime.process import ServerProcess
from server import parse
from services.doctor.findings import Finding
from tests.support.doctor import DoctorFixture
from tests.support.server_program import ServerProgram, exit_status


@pytest.fixture
def command_settings(server: ServerProcess, settings: tuple[Settings, str]) -> tuple[Any, ...]:
    """The settings of a command on the machine of the server."""
    port = int(server.address.rpartition(":")[2])
    at_port = settings[0].server.model_copy(update={"port": port})
    return settings[0].model_copy(update={"server": at_port}), settings[1]


async def test_json_has_every_finding_and_the_status_says_whether_one_is_wrong(
    command_settings: tuple[Any, ...], server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parse(["doctor", "--json"])
    with capture_logs():
        assert await args.run(*command_settings, args) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["im.callback"]["verdict"] == "right"
    assert found["redis.messages"]["verdict"] == "not used"
    assert server.simulator
    server.simulator.outage["wechat"] = 502  # type: ignore[union-attr]
    args = parse(["doctor"])
    with capture_logs():
        assert await args.run(*command_settings, args) == 1
    lines = capsys.readouterr().out.splitlines()
    [row] = [n for n, line in enumerate(lines) if line.startswith("wrong")]
    assert "wechat.token" in lines[row]
    assert "HTTP 502" in lines[row]
    assert "→" in lines[row + 1]


def test_the_table_says_what_to_do_and_why_a_check_could_not_run() -> None:
    rows = [
        Finding("a.b", "A", "a call", "right", "200", "nothing"),
        Finding("a.c", "A", "another", "cannot be told", because_of="a.b"),
        Finding("a.d", "A", "a third", "wrong", "403", "Set it."),
    ]
    lines = [" ".join(line.split()) for line in table(rows)]
    assert lines == [
        "right a.b a call: 200",
        "cannot be told a.c another: because of a.b",
        "wrong a.d a third: 403",
        "→ Set it.",
    ]


@pytest.fixture
def doctor_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Runs the program with the text of a settings file; returns its status."""
    # It would set the log of the whole process, also for the tests that follow.
    monkeypatch.setattr(program, "configure_logging", lambda *_, **__: None)
    path = tmp_path / "settings.yaml"

    def run_doctor(text: str) -> int:
        path.write_text(text)
        return program.main(["--settings", str(path), "doctor"])

    return run_doctor


def test_invalid_settings_are_listed_as_at_a_start(doctor_with: Callable[[str], int]) -> None:
    with capture_logs() as logs:
        assert doctor_with("redis: {url: nonsense}") == 2
    [entry] = logs
    assert entry["event"] == "settings_invalid"
    assert "redis.url" in entry["problems"][0]


def test_an_unreadable_uri_of_mongodb_is_named_without_its_password(
    doctor_with: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor_with("mongodb: {uri: 'mongodb://qlive:hunter@2@127.0.0.1/'}") == 1
    printed = capsys.readouterr()
    assert "mongodb.uri cannot be read" in printed.err
    assert "hunter" not in printed.err + printed.out


@pytest.mark.programs
async def test_ctrl_c_ends_the_program_after_its_clean_up(
    doctor: DoctorFixture, data_folder: Path, request: pytest.FixtureRequest
) -> None:
    apis = {
        f"{name}__api_base": getattr(doctor.settings, name).api_base
        for name in ("wechat", "im", "live_streaming", "uploads", "pay")
    }
    doctor.stalled_at = "POST /v4/group_open_http_svc/create_group"
    # What a shell runs in the background ignores Ctrl-C, and so do its own programs.
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, earlier))
    process = await ServerProgram(data_folder, **apis).start("doctor")
    await doctor.stalled.wait()
    assert len(doctor.simulator.im.groups) == 1
    process.send_signal(signal.SIGINT)
    assert await exit_status(process) == 130
    assert process.stderr
    assert await process.stderr.read() == b""
    assert doctor.simulator.im.groups == {}
