"""Users of live rooms for Locust: they sign in, enter a room, hold its socket, and act.

`make loadtest URL=http://127.0.0.1:8000` runs it; docs/operations.md says more. Locust's report has
a line for each call, and these for sockets (type WS):

    opened      from the handshake to the snapshot
    resumed     from the loss of a connection to the first frame of the next one
    delivered   from sending a request to its event at a member, for each member
"""

import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, between, events, task
from reconnect import Reconnects, is_final
from websocket import WebSocketException, create_connection

BASE = "/wx/api/qlive/"
MATCHMAKERS = ("hongniang1", "hongniang2")
"""Demo users who host rooms, unless there are tokens."""
HOSTS = int(os.environ.get("HOSTS", "1"))
TOKENS = Path(os.environ["TOKENS"]).read_text().split() if os.environ.get("TOKENS") else []
"""Tokens of users, one a line, matchmakers first. Without them the simulator signs users in."""
RECONNECT_SECONDS = 60.0
"""Mean time between two losses of a viewer's connection."""
SILENT_SECONDS = 60.0
"""Without any frame for so long a connection counts as lost; heartbeats come every 25 s."""
CLOSE = 8
"""Opcode of a close frame (RFC 6455 §5.2)."""
ENDED = 4510
"""The host has ended the live, as at the end of the test."""

rooms: list[tuple[int, str]] = []
"""(live_id, user_id of the host) of each room that is open."""
expected: dict[tuple[int, str, str], float] = {}
"""When a change was sent whose event has this room, type and user."""


def record(name: str, started: float, error: Exception | None = None) -> None:
    ms = (time.monotonic() - started) * 1000
    events.request.fire(
        request_type="WS",
        name=name,
        response_time=ms,
        response_length=0,
        exception=error,
        context={},
    )


class RoomUser(FastHttpUser):
    """A user who is signed in; `listen` keeps a socket to the room, and resumes after a loss."""

    abstract = True
    wait_time = between(5, 15)
    names: Iterator[str]
    tokens: Iterator[str]
    gender = 1

    def on_start(self) -> None:
        self.live_id, self.host_id = 0, ""
        self._epoch, self._seq, self._replayed, self._retry_ms = "", -1, 0, 0
        self._opened_at, self._reconnects = 0.0, Reconnects(random.random)
        token = next(self.tokens, "") or self._sign_in(next(self.names))
        self.headers = {"Authorization": f"QLiveToken {token}"}
        self.user_id = self.call("GET", "qlive_user/get_userinfo/")["user_id"]
        self.enter()
        self._listener = gevent.spawn(self._listen)

    def on_stop(self) -> None:
        self._listener.kill()
        self.leave()

    def enter(self) -> None:
        """Enter one of the open rooms."""
        while not rooms:
            gevent.sleep(0.1)
        self.live_id, self.host_id = random.choice(rooms)
        self.call("GET", "get_playurl/", f"?live_id={self.live_id}")

    def leave(self) -> None:
        self.call("GET", "qlive_room/leave_room/", f"?live_id={self.live_id}")

    def call(self, method: str, path: str, query: str = "", **body: Any) -> Any:
        """Return the JSON of the answer; a refusal is a failure in the report, and returns {}."""
        sent = {"json": body} if method == "POST" else {}
        with self.rest(
            method, f"{BASE}{path}{query}", name=path, headers=self.headers, **sent
        ) as answer:
            return answer.js if answer.status_code == 200 else {}

    def expect(self, kind: str) -> None:
        """Expect the event of a change to be sent: of this kind, and naming the user."""
        expected[self.live_id, kind, self.user_id] = time.monotonic()

    @task(3)
    def read_state(self) -> None:
        self.call("GET", "qlive_user/get_user_state/")

    @task
    def list_rooms(self) -> None:
        self.call("GET", "get_livelist/")

    def _sign_in(self, name: str) -> str:
        """Return the token of a user of the simulator, registered if new; wait while limited."""
        while True:
            login = self._patiently("/sim/phone/login", {"name": name, "gender": self.gender})
            account = self._patiently(f"{BASE}qlive_user/", login) if login else {}
            if account:
                return str(account["token"])

    def _patiently(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.client.post(path, json=body, catch_response=True) as answer:
            if answer.status_code == 200:
                return dict(answer.json())
            if answer.status_code in (429, 503):
                answer.success()
            gevent.sleep(float(answer.headers.get("Retry-After") or 1))
        return {}

    # ---- the socket

    def connected_seconds(self) -> float | None:
        """Until the connection is lost, as that of a phone that changes its network."""
        return None

    def _listen(self) -> None:
        """Until the server closes for good."""
        code, lost_at = 0, 0.0
        while True:
            self._opened_at, self._retry_ms = 0.0, 0
            self._reconnects.attempt(time.monotonic() * 1000)
            try:
                code = self._connect_and_receive(lost_at)
            except (OSError, WebSocketException, ValueError) as error:
                record("connection", time.monotonic(), error)
                code = 0
            lost_at = time.monotonic()
            if is_final(code):
                break
            live_ms = (lost_at - self._opened_at) * 1000 if self._opened_at else 0
            delay_ms = self._reconnects.delay_ms(lost_at * 1000, live_ms, self._retry_ms)
            gevent.sleep(delay_ms / 1000)
        if code != ENDED:
            record("connection", lost_at, RuntimeError(f"closed with {code}"))

    def _connect_and_receive(self, lost_at: float) -> int:
        """Return the close code; 0 if the connection was lost."""
        started = time.monotonic()
        url = f"ws{self.host.removeprefix('http').rstrip('/')}{BASE}ws/?live_id={self.live_id}"
        if self._seq >= 0:
            url += f"&epoch={self._epoch}&since={self._seq}"
        authorization = f"Authorization: {self.headers['Authorization']}"
        socket = create_connection(url, header=[authorization], timeout=SILENT_SECONDS)
        with gevent.Timeout(self.connected_seconds(), exception=False):
            while True:
                opcode, data = socket.recv_data()
                if opcode == CLOSE:
                    return int.from_bytes(data[:2], "big")
                self._receive(json.loads(data))
                if not self._opened_at:
                    self._opened_at = time.monotonic()
                    record("resumed" if lost_at else "opened", lost_at or started)
        socket.shutdown()
        return 0

    def _receive(self, frame: dict[str, Any]) -> None:
        """Raise ValueError if an event is missing."""
        if frame["type"] in ("snapshot", "resumed"):
            self._epoch, self._seq = frame["epoch"], frame["seq"] - frame.get("replayed", 0)
            self._replayed = frame.get("replayed", 0)
        elif frame["type"] == "bye":
            self._retry_ms = frame["retry_ms"]
        elif "epoch" in frame and "data" in frame:
            if frame["seq"] != self._seq + 1:
                raise ValueError("an event is missing")
            self._seq = frame["seq"]
            self._replayed -= 1
            about = frame["data"].get("from", frame["data"])
            key = (self.live_id, frame["type"], about.get("user_id", ""))
            if key in expected and self._replayed < 0:
                record("delivered", expected[key])


class HostUser(RoomUser):
    """A matchmaker who opens a room, or returns to it, and ends the live at the end."""

    fixed_count = HOSTS
    names = itertools.cycle(MATCHMAKERS)
    tokens = iter(TOKENS[:HOSTS])
    gender = 2

    def enter(self) -> None:
        self.live_id = self.call("POST", "qlive_room/matchmaker_enter/")["live_id"]
        rooms.append((self.live_id, self.user_id))

    def leave(self) -> None:
        self.call("POST", "qlive_room/live_end/", live_id=self.live_id)


class GuestUser(RoomUser):
    """A user who is no matchmaker."""

    abstract = True
    names = map("load{}".format, itertools.count())
    tokens = iter(TOKENS[HOSTS:])


class ViewerUser(GuestUser):
    """Watches, likes the host, and loses the connection from time to time."""

    weight = 50

    def connected_seconds(self) -> float:
        return random.uniform(0, 2 * RECONNECT_SECONDS)

    @task
    def like(self) -> None:
        self.call("POST", "qlive_like/", user_id=self.host_id, like_state=1)


class SenderUser(GuestUser):
    """Applies for a seat, withdraws the application, and gives gifts for gold that was bought."""

    weight = 9
    wait_time = between(2, 6)

    def on_start(self) -> None:
        super().on_start()
        self._gift = min(self.call("GET", "qlive_gift/")["results"], key=lambda gift: gift["gold"])
        if not TOKENS:
            self._buy_gold()

    @task(3)
    def apply_and_withdraw(self) -> None:
        for change in ("apply", "refuse"):
            self.expect(f"micro_{change}")
            self.call("POST", f"qlive_room/{change}_micro/", live_id=self.live_id)
            gevent.sleep(random.uniform(2, 6))

    @task(3)
    def give(self) -> None:
        self.expect("gift")
        gift = f"?user_id={self.host_id}&gift_id={self._gift['id']}&num=1"
        request_id = f"load-{self.user_id}-{time.time_ns()}"
        self.call("GET", "qlive_gift/push_gift/", f"{gift}&request_id={request_id}")

    def _buy_gold(self) -> None:
        blocks = self.call("GET", "qlive_pay/")
        order = self.call("POST", "qlive_pay/", block_id=blocks[-1]["id"])
        paid = {"content": order["content"], "outcome": "success"}
        self.client.post("/sim/phone/pay", json=paid)
