"""Addresses that webhooks may call, and bounds of a request."""

import asyncio
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from core.errors import InvalidParameter
from services.webhooks import webhook_client as module
from services.webhooks.webhook_client import checked_url, post, seconds_of
from storage.webhooks.deliveries import Attempt
from storage.webhooks.webhooks import MAX_WEBHOOKS
from tests.support.waiting import WAIT_SECONDS
from tests.support.webhooks import Receiver

NOT_PUBLIC = [
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0"),
    *(
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
    ),
    *("10.1", "0x0a000001", "167772161", "012.0.0.1", "10.0.0.1.", "１０.0.0.1"),
    *("[::]", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]"),
    *("[::ffff:10.0.0.1]", "[::10.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]"),
    *("[2002:a00:1::1]", "[2001:0:4136:e378:8000:63bf:f5ff:fffe]"),
]
LOOPBACK = ["127.0.0.1", "127.1", "2130706433", "[::1]"]
PUBLIC = ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::8.8.8.8]", "[2002:808:808::1]", "a.example"]


def problem_of(url: str, *, allows_local: bool) -> str:
    """Why an address is refused; "" if it is not."""
    try:
        checked_url(url, allows_local=allows_local)
    except InvalidParameter as error:
        return error.fields["url"]
    return ""


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    for allows_local in (False, True):
        problem = problem_of(f"https://{host}/hook", allows_local=allows_local)
        assert problem == "must not be an address of a private or reserved network"


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_for_development_only(host: str) -> None:
    assert problem_of(f"https://{host}:8443/hook", allows_local=False)
    assert not problem_of(f"http://{host}/hook", allows_local=True), "at any port"
    assert problem_of(f"http://{host}:8000/hook", allows_local=True) == ""


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_and_names_are_accepted(host: str) -> None:
    assert problem_of(f"https://{host}/hook?key=1", allows_local=False) == ""


@pytest.mark.parametrize(
    "url",
    [
        *("http://a.example/", "ftp://a.example/", "a.example", "//a.example", "https:///hook"),
        *("https://anna@a.example/", "https://anna:secret@a.example/", "https://:x@a.example/"),
        *("https://a.example:99999/", "https://[::1", ""),
        *("https://a.example:22/", "https://a.example:1023/", "https://a.example:0/"),
        *(
            "https://a.example/\0",
            "https://a.example/\t",
            "https://a.exa\nmple/",
            "https://\u202ea/",
        ),
    ],
)
def test_only_https_without_a_user_is_accepted(url: str) -> None:
    assert problem_of(url, allows_local=False)


def test_an_address_is_kept_as_it_is_sent() -> None:
    address = checked_url("https://例子.example:1024/回调?q=a b", allows_local=False)
    assert address.isascii()
    assert address == "https://xn--fsqu00a.example:1024/%E5%9B%9E%E8%B0%83?q=a+b"


class Names:
    """The addresses of each name, as the system resolves them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        self.asked: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: str, port: int, *_options: Any) -> list[Any]:
        self.asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]


async def test_a_name_is_resolved_at_each_attempt_and_only_public_addresses_are_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    url = str(URL(receiver.url).with_host("hooks.example"))
    errors = []
    for addresses in (["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1", "127.0.0.1"]):
        names.addresses = addresses
        errors.append((await post(url, {}, b"{}", allows_local=True)).error)
    assert errors == ["", "AddressRefused", ""]
    for request in receiver.received:
        assert request.headers["Host"].startswith("hooks.example:")
    assert names.asked == ["hooks.example"] * 3
    names.addresses = ["127.0.0.1"]
    assert (await post(url, {}, b"{}", allows_local=False)).error == "AddressRefused"
    literal = await post(receiver.url, {}, b"{}", allows_local=False)
    assert (literal.status, literal.error) == (0, "AddressRefused")
    assert len(receiver.received) == 2


async def test_names_that_are_not_resolved_keep_no_other_work_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()

    def resolve(*_: Any, **_options: Any) -> list[Any]:
        answers.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(MAX_WEBHOOKS):
            tasks.create_task(post("http://a.example/", {}, b"{}", allows_local=True))
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.to_thread(int)
        finally:
            answers.set()


async def test_redirects_and_proxies_are_not_followed(
    receiver: Receiver, make_receiver: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_receiver()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    receiver.fail(307, Location=other.url)
    attempt = await post(receiver.url, {}, b"{}", allows_local=True)
    assert (attempt.status, attempt.succeeded) == (307, False)
    assert (len(receiver.received), other.received) == (1, [])


async def post_to_endless(begin: bytes, repeated: bytes) -> tuple[Attempt, int]:
    """An attempt at an answer without end, and the bytes sent until the client closed."""
    sent, closed = 0, asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(begin)
        try:
            while True:
                writer.write(repeated)
                sent += len(repeated)
                await writer.drain()
        except ConnectionError:
            closed.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        attempt = await post(f"http://127.0.0.1:{port}/", {}, b"{}", allows_local=True)
        await closed.wait()
    return attempt, sent


async def test_an_answer_without_end_costs_neither_time_nor_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    attempt, sent = await post_to_endless(head, b"x" * 65_536)
    assert attempt.succeeded
    assert sent < 50_000_000, "what the buffers of both sides hold"


async def test_answers_without_end_before_the_answer_are_not_read() -> None:
    attempt, _ = await post_to_endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000)
    assert (attempt.status, attempt.error) == (0, "ServerDisconnectedError")


async def test_the_status_decides_whatever_the_encoding_of_the_body(receiver: Receiver) -> None:
    receiver.answers.append((200, {"Content_Encoding": "br"}))
    assert (await post(receiver.url, {}, b"{}", allows_local=True)).succeeded


async def test_an_attempt_ends_after_its_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.TIMEOUT.total == 15
    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    receiver.silent = asyncio.Event()
    attempt = await post(receiver.url, {}, b"{}", allows_local=True)
    assert (attempt.status, "Timeout" in attempt.error) == (0, True)
    receiver.silent.set()


async def test_a_closed_port_is_a_failure() -> None:
    attempt = await post("http://127.0.0.1:9/", {}, b"{}", allows_local=True)
    assert (attempt.status, attempt.error) == (0, "ConnectionRefusedError")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("", 0), ("30", 30), ("-1", 0), ("soon", 0), ("9" * 400, 999_999_999)),
        ("Tue, 01 Dec 2026 12:00:30 GMT", 30),
        ("Tue, 01 Dec 2026 11:00:00 GMT", 0),
        ("1 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("1 Jan 2020 00:00:00 +99999999999999", 0),
    ],
)
def test_retry_after_has_seconds_or_a_date(header: str, seconds: float) -> None:
    assert seconds_of(header, datetime(2026, 12, 1, 12, tzinfo=UTC)) == seconds
