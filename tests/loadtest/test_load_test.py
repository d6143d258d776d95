"""Load tests against a real server."""

import argparse
import asyncio
import re
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pymongo import MongoClient

from core.errors import StartupError
from devtools import demo
from loadtest import accounts
from loadtest.http_client import HttpClient
from loadtest.load_test import LoadTest
from loadtest.measurements import Measurements
from loadtest.options import LoadOptions, Mix
from rooms.errors import NotAMember
from runtime.load_test import load_test
from runtime.process import ServerProcess
from server import parse
from services.room_access import RoomAccess
from tests.support.api import ApiFixture
from tests.support.server_program import ServerProgram
from tests.support.waiting import until

async_test = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def demo_users() -> bool:
    return True


def options(url: str, **changes: Any) -> LoadOptions:
    values = {
        "url": url,
        "tokens": None,
        "users": 6,
        "mix": Mix(1, 3, 2),
        "seconds": 60.0,
        "sends": "apply",
        "rate": 20.0,
        "poll_seconds": 0.1,
        "reconnect_seconds": 0.2,
    }
    return LoadOptions(**{**values, **changes})


async def run_until(test: LoadTest, enough: Any) -> list[str]:
    """Run the test until it has measured enough; returns the lines of its progress."""
    stopping, lines = asyncio.Event(), []
    running = asyncio.create_task(test.run(stopping, lines.append))
    await until(lambda: running.done() or enough(test.measurements))
    stopping.set()
    await running
    return lines


@async_test
async def test_events_answers_and_reconnects_are_measured(
    server: ServerProcess, mongo: MongoClient[Any]
) -> None:
    test = LoadTest(options(server.address))
    await run_until(
        test,
        lambda it: (
            len(it.after_answer()) > 20
            and len(it.reconnects) > 5
            and it.answers["qlive_user/get_user_state"]
        ),
    )
    measured = test.measurements
    assert {status for _, status, _ in measured.statuses} == {200}
    assert not measured.closes
    assert all(0 < it.seconds < measured.seconds for it in measured.to_last_member())
    whole = [it for it in measured.deliveries.values() if it.received >= it.listeners == 6]
    assert whole, "all six members are connected most of the time, and receive the event"
    [room] = mongo[server.settings.mongodb.database].rooms.find()
    assert room["status"] == "ended", "the test has ended what it opened"


@async_test
async def test_gifts_are_sent_by_users_of_a_token_file(
    server: ServerProcess, api: ApiFixture
) -> None:
    host = await api.host()
    senders = [await api.user(name, 1, gold=50) for name in ("anna", "bert")]
    tokens = (senders[0].token, host.token, senders[1].token)
    mix = Mix(1, 0, 2)
    test = LoadTest(options(server.address, tokens=tokens, users=3, mix=mix, sends="gift"))
    await run_until(test, lambda it: len(it.after_answer()) >= 4)
    assert test.members[0].account.user_id == host.id


@async_test
async def test_only_as_many_users_as_asked_for_take_part(
    server: ServerProcess, api: ApiFixture
) -> None:
    users = [await api.user(name, 1) for name in ("anna", "bert", "carl")]
    host = await api.host()
    tokens = (*(user.token for user in users), host.token)
    test = LoadTest(options(server.address, tokens=tokens, users=2, mix=Mix(1, 0, 1)))
    await run_until(test, lambda it: it.after_answer())
    assert [member.account.user_id for member in test.members] == [host.id, users[0].id]


@async_test
async def test_a_host_who_cannot_open_a_room_leaves_no_other_live(
    server: ServerProcess, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    test = LoadTest(options(server.address, mix=Mix(2, 2, 2)))

    async def fail(*_: Any) -> Any:
        await until(lambda: bool(test._hosts))
        raise StartupError("no second room")

    entering = iter([accounts.patiently, fail])

    async def enter(http: HttpClient, method: str, path: str, *body: Any) -> Any:
        call = next(entering) if "matchmaker_enter" in path else accounts.patiently
        return await call(http, method, path, *body)

    monkeypatch.setattr("loadtest.load_test.patiently", enter)
    with pytest.raises(StartupError, match="no second room"):
        await test.run(asyncio.Event(), lambda _: None)
    rooms = mongo[server.settings.mongodb.database].rooms
    assert [room["status"] for room in rooms.find()] == ["ended"]


@async_test
async def test_without_enough_matchmakers_or_with_a_wrong_token_nothing_begins(
    server: ServerProcess, api: ApiFixture
) -> None:
    anna = await api.user("anna", 1)
    few = options(server.address, tokens=(anna.token,), users=1, mix=Mix(1, 0, 0))
    with pytest.raises(StartupError, match="0 of the users are matchmakers, and 1 must be hosts"):
        await LoadTest(few).run(asyncio.Event(), lambda _: None)
    wrong = options(server.address, tokens=("5" * 40,), users=1, mix=Mix(1, 0, 0))
    with pytest.raises(StartupError, match="A token is wrong or expired"):
        await LoadTest(wrong).run(asyncio.Event(), lambda _: None)
    many = options(server.address, mix=Mix(3, 2, 1))
    with pytest.raises(StartupError, match="has 2 hosts, fewer than 3"):
        await LoadTest(many).run(asyncio.Event(), lambda _: None)


@async_test
async def test_a_socket_that_is_refused_for_good_ends_the_test(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RoomAccess, "load_view", refuse)
    with pytest.raises(StartupError, match=r"sockets could not be opened.* 4504\."):
        await LoadTest(options(server.address)).run(asyncio.Event(), lambda _: None)


async def refuse(*_: Any) -> None:
    raise NotAMember


@async_test
async def test_a_bug_of_a_task_is_raised(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(Measurements, "record_lag", fail)
    with pytest.raises(KeyError, match="bug"):
        await LoadTest(options(server.address)).run(asyncio.Event(), lambda _: None)


@async_test
async def test_a_server_that_does_not_answer_is_named() -> None:
    nobody = options("http://127.0.0.1:9")
    with pytest.raises(StartupError, match="does not answer /sim/phone/login"):
        await LoadTest(nobody).run(asyncio.Event(), lambda _: None)


@async_test
async def test_the_command_prints_a_report_and_writes_a_page_that_loads_nothing(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    more = ["--users", "5", "--mix", "1:3:1", "--rate", "10", "--poll", "0.1"]
    more += ["--reconnect", "0.3", "--seconds", "1.5", "--html", str(page)]
    assert await load_test(parsed(server.address, *more)) == 0
    shown = capsys.readouterr()
    assert re.search(r"^answer +\d+( +\d+\.\d){4}$", shown.out, re.MULTILINE)
    assert re.search(r"^request to last member +\d+( +\d+\.\d){4}$", shown.out, re.MULTILINE)
    assert "1 hosts, 3 viewers, 1 senders" in shown.out
    assert "of 5 connected" in shown.err
    html = page.read_text("utf-8")
    assert not re.findall(r"(?:src|href|url)\s*[=(]|@import|<script", html)
    plots = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    assert [len(plot.findall("polyline")) for plot in plots] == [3, 2, 2]
    assert all(line.get("points") for line in plots[0].findall("polyline"))


@pytest.mark.programs
@pytest.mark.gen_test(timeout=90)
async def test_ctrl_c_ends_the_test_with_a_report(server: ServerProcess, data_folder: Path) -> None:
    program = ServerProgram(data_folder)
    arguments = ("--users", "4", "--mix", "1:2:1", "--rate", "10", "--seconds", "600")
    process = await program.start("load-test", server.address, *arguments)
    assert process.stderr
    await asyncio.wait_for(process.stderr.readuntil(b" connected"), 60)
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert "request to last member" in output.decode()


def parsed(*arguments: str) -> argparse.Namespace:
    return parse(["load-test", *arguments])


def test_the_hosts_of_a_development_server_are_the_demo_matchmakers() -> None:
    assert list(accounts.DEMO_HOSTS) == demo.MATCHMAKERS
