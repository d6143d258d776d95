"""Builds raw HTTP requests and writes the request file of load.c."""

import random
from collections.abc import Sequence
from pathlib import Path

from bench.checkout import Guest

READS = {
    "get_user_state": "qlive_user/get_user_state/",
    "get_userinfo": "qlive_user/get_userinfo/",
    "get_livelist": "get_livelist/?page=1",
    "get_users_info": "qlive_user/get_users_info/?live_id={live_id}&gender=1&page=1",
}
"""Path by endpoint."""
GIFT = "qlive_gift/push_gift/?gift_id=1&num=1&user_id={host_id}"
GIFTS_EACH = 200
"""Gifts of a sender prepared for one run, more than are sent in it: a repeated one costs less."""
EVENING_READS = 45
"""Reads of a guest between entering and leaving; with these two, two changes and a gift, nine in
ten of 50 requests."""


def read_request(path: str, guest: Guest) -> bytes:
    """Return a GET request of the guest; fill in `{live_id}` and `{host_id}` in `path`."""
    filled_path = path.format(live_id=guest.live_id, host_id=guest.host_id)
    return _head(f"GET /wx/api/qlive/{filled_path}", guest) + b"\r\n"


def read_requests(path: str, guests: Sequence[Guest], _run: int) -> list[bytes]:
    return [read_request(path, guest) for guest in guests]


def change_requests(guests: Sequence[Guest], _run: int) -> list[bytes]:
    """leave, apply and accept of each guest, in load.c's order.

    leave comes first, since the previous run may have stopped between any two requests.
    """
    leaves = [read_request("qlive_room/leave_micro/?live_id={live_id}", guest) for guest in guests]
    return leaves + [_mic_request(name, guest) for name in ("apply", "accept") for guest in guests]


def hot_room_requests(guests: Sequence[Guest], _run: int) -> list[bytes]:
    """apply and refuse of each guest, in load.c's order."""
    return [_mic_request(name, guest) for name in ("apply", "refuse") for guest in guests]


def gift_requests(guests: Sequence[Guest], run: int) -> list[bytes]:
    """Gifts to the host, each of which has a request_id that no earlier run has sent."""
    return [
        read_request(f"{GIFT}&request_id={run}-{number}", guest)
        for number in range(GIFTS_EACH)
        for guest in guests
    ]


def evening_requests(guests: Sequence[Guest], _run: int) -> list[bytes]:
    """Return the mixed evening of each guest, in load.c's order.

    Each guest enters and at last leaves; what is in between has a different order for each.
    """
    evenings = []
    for number, guest in enumerate(guests):
        order, reads = random.Random(number), [read_request(path, guest) for path in READS.values()]
        steps = [reads[n % len(reads)] for n in range(EVENING_READS)]
        order.shuffle(steps)
        changes = [_mic_request(action, guest) for action in ("apply", "refuse")]
        changes.append(read_request(GIFT, guest))
        places = sorted(order.sample(range(len(steps)), len(changes)))
        for place, change in reversed([*zip(places, changes, strict=True)]):
            steps.insert(place, change)
        enter = read_request("get_playurl/?live_id={live_id}", guest)
        leave = read_request("qlive_room/leave_room/?live_id={live_id}", guest)
        evenings.append([enter, *steps, leave])
    return [request for step in zip(*evenings, strict=True) for request in step]


def write_request_file(path: Path, requests: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in requests))


def _mic_request(action: str, guest: Guest) -> bytes:
    body = f'{{"live_id": {guest.live_id}}}'
    head = _head(f"POST /wx/api/qlive/qlive_room/{action}_micro/", guest)
    kind = "Content-Type: application/json"
    return head + f"{kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _head(request_line: str, guest: Guest) -> bytes:
    return (
        f"{request_line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: QLiveToken {guest.token}\r\n"
    ).encode()
