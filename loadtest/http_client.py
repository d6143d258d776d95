"""An HTTP client with one connection that stays open, as a phone's does."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.measurements import Measurements
from loadtest.target import Target

BASE = "/wx/api/qlive/"
TIMEOUT_SECONDS = 15.0
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`status` is 0 without an answer. `headers` have names in lower case."""

    status: int = NO_ANSWER
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def json(self) -> Any:
        """The body, {} if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def retry_after(self) -> float:
        """Seconds, 1 if the answer does not say."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdecimal() else 1.0


class HttpClient:
    """Sends one request after another and records how long the answers took."""

    def __init__(self, target: Target, measurements: Measurements, token: str = "") -> None:
        self.token = token
        self._target = target
        self._measurements = measurements
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def close(self) -> None:
        self._disconnect()
        await asyncio.sleep(0)  # the transport closes in the next turn of the loop

    def _disconnect(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def get(self, path: str) -> HttpAnswer:
        """`path` is below BASE."""
        return await self.request("GET", BASE + path)

    async def post(self, path: str, **body: Any) -> HttpAnswer:
        return await self.request("POST", BASE + path, body)

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> HttpAnswer:
        """Never raises for the network or the server; the answer then has status 0."""
        async with self._turn:
            started = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    answer = await self._exchange(self._head(method, path, body))
            except (OSError, EOFError, TimeoutError, ValueError):
                self._disconnect()
                answer = HttpAnswer()
            except BaseException:
                self._disconnect()  # half of an answer may still come
                raise
            name = path.partition("?")[0].removeprefix(BASE).strip("/")
            code = answer.json.get("code", "") if answer.status >= 400 else ""
            self._measurements.record_answer(name, answer.status, str(code), started)
            return answer

    def _head(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._target.authority}"]
        lines += ["User-Agent: qlive-load-test", f"Content-Length: {len(content)}"]
        if self.token:
            lines.append(f"Authorization: QLiveToken {self.token}")
        if content:
            lines.append("Content-Type: application/json")
        return "\r\n".join([*lines, "", ""]).encode() + content

    async def _exchange(self, request: bytes) -> HttpAnswer:
        if self._streams is None or self._streams[0].at_eof():
            self._disconnect()
            self._streams = await asyncio.open_connection(
                self._target.host, self._target.port, ssl=self._target.tls
            )
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].partition(" ")[2][:3])
        fields = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await _read_body(reader, headers)
        if headers.get("connection", "").lower() == "close":
            self._disconnect()
        return HttpAnswer(status, headers, body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
