import asyncio

import pytest

from loadtest.http_client import HttpClient
from loadtest.measurements import Measurements
from loadtest.target import target_of
from tests.support.stub_server import StubServer

async_test = pytest.mark.gen_test(timeout=20)


class Scripted(StubServer):
    """Sends an answer for each request; "" closes the connection without one."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.connections = 0
        self.heads: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers:
            try:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            except asyncio.IncompleteReadError:
                return
            if not (answer := self.answers.pop(0)):
                break
            writer.write(answer.encode())
        writer.close()


PLAIN = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + '{"a": 12}'
CHUNKED = (
    "HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 3\r\n\r\n"
    '4\r\n{"co\r\n10;x=y\r\nde": "too_many"}\r\n0\r\n\r\n'
)
LAST = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def client_of(server: Scripted) -> tuple[HttpClient, Measurements]:
    await server.start()
    measurements = Measurements()
    return HttpClient(
        target_of(f"http://127.0.0.1:{server.port}"), measurements, "t0"
    ), measurements


@async_test
async def test_one_connection_serves_until_it_is_closed() -> None:
    server = Scripted(PLAIN, CHUNKED, LAST, PLAIN)
    client, measurements = await client_of(server)
    assert (await client.get("a/")).json == {"a": 12}
    refused = await client.get("a/")
    assert (refused.status, refused.json, refused.retry_after) == (429, {"code": "too_many"}, 3)
    assert (await client.get("b/?page=1")).json == {}
    assert server.connections == 1
    assert (await client.get("a/")).ok
    assert server.connections == 2
    assert "Authorization: QLiveToken t0\r\n" in server.heads[0]
    assert measurements.statuses == {
        ("a", 200, ""): 2,
        ("a", 429, "too_many"): 1,
        ("b", 200, ""): 1,
    }
    await client.close()
    await server.stop()


@async_test
async def test_no_answer_is_status_0_and_counted_without_a_duration() -> None:
    server = Scripted("", "nonsense\r\n\r\n", PLAIN)
    client, measurements = await client_of(server)
    assert [(await client.get("a/")).status for _ in range(2)] == [0, 0]
    assert (await client.get("a/")).ok
    assert measurements.statuses == {("a", 0, ""): 2, ("a", 200, ""): 1}
    assert len(measurements.answers["a"]) == 1
    await client.close()
    await server.stop()
