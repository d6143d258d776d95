import re
from pathlib import Path

import pytest

from settings import Realtime
from tests.deploy.evening import Machine, two_machines
from tests.deploy.front import DEPLOY, OPS_TOKEN, Mute, a_front
from tests.phones import BASE, Street
from tests.ports import free_port
from tests.test_server import ROOT

pytestmark = [pytest.mark.programs, pytest.mark.linux]

GIFT = f"{BASE}qlive_gift/push_gift/?gift_id=1&user_id=10000001"


@pytest.mark.gen_test(timeout=90)
async def test_two_machines_behind_nginx_are_one_server_over_https(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        two_machines(folder, where) as machines,
        a_front(folder, machines[0].port, machines[1].port, monkeypatch) as (nginx, front),
    ):
        nginx.check()
        direct = Street(machines[0].address, OPS_TOKEN)
        host = front.enter(await direct.host())
        guest = front.enter(await direct.guest("bert", 1, host.live_id, gold=1000))

        # Addresses in answers are those that the caller sees.
        page = (await guest.get("qlive_gift/")).ok()
        assert page["next"] == f"{nginx.address}{BASE}qlive_gift/?page=2"
        assert (await guest.get("qlive_gift/", page=2)).ok()["results"]

        # Who calls is whom nginx sees, not what the caller says.
        forged = {"Authorization": f"Bearer {OPS_TOKEN}", "X-Forwarded-For": "8.8.8.8"}
        (await front.ask("GET", "/ops/api/audit", headers=forged)).ok()
        seen = (await front.ask("GET", "/ops/api/audit", headers=forged)).ok()["items"]
        assert {row["who"] for row in seen if "AuditLog" in row["what"]} == {"ops@127.0.0.1"}

        # What is for nobody outside is not there; /sim is only in development.
        http = front._http
        assert http
        for path in ("/metrics", "/readyz", "/sim/log", "/docs/", "/"):
            async with http.get(nginx.address + path) as answer:
                assert answer.status == 404, path
        plain = f"http://127.0.0.1:{nginx.plain_port}{BASE}get_livelist/?page=1"
        async with http.get(plain, allow_redirects=False) as answer:
            assert answer.status == 301
            assert answer.headers["Location"] == f"https://127.0.0.1{BASE}get_livelist/?page=1"

        # A socket stays, also over a reload of nginx, while both machines speak of the room.
        listener = await host.connect()
        await listener.next("snapshot")
        for turn in range(6):
            if turn == 3:
                await nginx.reload()
            (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_apply")
            (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_refuse")

        # The log says who asked for what, and no query.
        log = (folder / "nginx" / "access.log").read_text()
        assert f'"GET {BASE}qlive_gift/" 200' in log
        assert "page=2" not in log
        assert host.token not in log

        # docs/deploy.md watches what there is.
        page_of_numbers = (await direct.ask("GET", "/metrics")).text
        watched = set(re.findall(r"`(qlive_\w+)`", (ROOT / "docs" / "deploy.md").read_text()))
        assert len(watched) > 10
        known = {line.split()[2] for line in page_of_numbers.splitlines() if line[:6] == "# TYPE"}
        assert watched <= known, watched - known
        await direct.close()


def test_nginx_leaves_it_to_the_server_to_say_which_socket_is_silent() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    place = re.search(r"location ~ \^/wx/api/qlive/ws/\?\$ \{(.*?)\n {8}\}", text, re.DOTALL)
    assert place
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        seconds = re.search(rf"{name} (\d+)s;", place[1])
        assert seconds
        assert int(seconds[1]) >= 2 * Realtime().silent_seconds > 60


@pytest.mark.parametrize(
    ("method", "path", "attempts"),
    [
        ("GET", f"{BASE}get_livelist/", 2),
        ("GET", f"{GIFT}&request_id=a1", 2),
        ("GET", GIFT, 1),
        ("GET", f"{GIFT}&request_id=", 1),
        ("GET", f"{GIFT}&my_request_id=a1", 1),
        ("POST", f"{BASE}qlive_room/apply_micro/", 1),
        ("POST", f"{BASE}qlive_pay/", 1),
    ],
)
@pytest.mark.gen_test(timeout=30)
async def test_only_what_may_happen_twice_is_sent_to_the_other_machine_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str, attempts: int
) -> None:
    mute = Mute()
    async with (
        mute.standing() as first,
        mute.standing() as second,
        a_front(tmp_path, first, second, monkeypatch) as (_, front),
    ):
        reply = await front.ask(method, path, json={})
        assert mute.asked == [f"{method} {path}"] * attempts
        assert reply.refusal == (503, "try_again")
        assert reply.headers["Retry-After"] == "2"
    logs = [(tmp_path / "nginx" / name).read_text() for name in ("access.log", "error.log")]
    assert path.partition("?")[0] in logs[0]
    assert not any("request_id" in log or "user_id" in log for log in logs), logs


@pytest.mark.gen_test(timeout=30)
async def test_a_connection_that_is_refused_goes_to_the_other_machine_whatever_it_asks(
    folder: Path, where: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(folder, "one", ops__token=OPS_TOKEN, **where)
    try:
        await machine.start()
        async with a_front(folder, machine.port, free_port(), monkeypatch) as (_, front):
            for _ in range(6):
                refused = await front.ask("POST", f"{BASE}qlive_like/", json={})
                assert refused.refusal[0] == 401  # by the server, and never by nginx
    finally:
        await machine.end()


HANDSHAKE = ("Host: qlive", "Connection: Upgrade", "Upgrade: websocket", "X-Forwarded-For: 8.8.8.8")


@pytest.mark.gen_test(timeout=30)
async def test_a_handshake_at_a_machine_that_drains_goes_to_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining = Mute(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    serving = Mute(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n")
    async with (
        draining.standing() as first,
        serving.standing() as second,
        a_front(tmp_path, first, second, monkeypatch) as (_, front),
    ):
        for _ in range(6):
            said = await front.say(f"GET {BASE}ws/?live_id=1 HTTP/1.1", *HANDSHAKE)
            assert said.startswith(b"HTTP/1.1 101 "), said
        assert len(serving.asked) == 6
        assert draining.asked


@pytest.mark.parametrize(
    ("path", "becomes_one"), [("ws/", True), ("get_livelist/", False), ("qlive_gift/", False)]
)
@pytest.mark.gen_test(timeout=30)
async def test_no_call_but_the_sockets_can_become_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, becomes_one: bool
) -> None:
    mute = Mute(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with (
        mute.standing() as port,
        a_front(tmp_path, port, port, monkeypatch) as (_, front),
    ):
        await front.say(f"GET {BASE}{path} HTTP/1.1", *HANDSHAKE, "Connection: close")
    (head,) = mute.heads
    given = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:] if line)
    assert given["connection"] == ("upgrade" if becomes_one else "close")
    assert given.get("upgrade") == ("websocket" if becomes_one else None)
    # Everywhere: who calls, and how.
    assert given["host"] == "qlive"
    assert given["x-forwarded-for"] == "127.0.0.1"
    assert given["x-forwarded-proto"] == "https"
    assert given["x-request-id"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("GET /nowhere HTTP/1.1",), 404),
        (("TRACE /healthz HTTP/1.1",), 405),
        ((f"POST {BASE}qlive_like/ HTTP/1.1", "Content-Length: 2000000"), 413),
        ((f"GET /healthz?{'a' * 9000} HTTP/1.1",), 414),
        (("GET /healthz HTTP/1.1", f"Cookie: {'a' * 9000}"), 400),
    ],
)
@pytest.mark.gen_test(timeout=30)
async def test_what_nginx_refuses_by_itself_is_a_page_and_reaches_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int
) -> None:
    mute = Mute()
    async with (
        mute.standing() as port,
        a_front(tmp_path, port, port, monkeypatch) as (_, front),
    ):
        said = await front.say(*words, "Host: qlive", "Connection: close")
    assert said.startswith(f"HTTP/1.1 {status} ".encode()), said
    assert b"Content-Type: text/html" in said
    assert mute.asked == []
