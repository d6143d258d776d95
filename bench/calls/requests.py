"""Builds raw HTTP requests and writes the request file of load.c."""

from collections.abc import Sequence
from pathlib import Path

from bench.calls.guests import Guest


def read_request(path: str, guest: Guest) -> bytes:
    """A GET request of the guest; `{live_id}` in `path` is filled in."""
    filled_path = path.format(live_id=guest.live_id)
    return _head(f"GET /wx/api/qlive/{filled_path}", guest) + b"\r\n"


def change_requests(guests: Sequence[Guest]) -> list[bytes]:
    """leave, apply and accept of each guest, in load.c's order.

    leave comes first, since the previous run may have stopped between any two requests.
    """
    leaves = [read_request("qlive_room/leave_micro/?live_id={live_id}", guest) for guest in guests]
    posts = [
        _post_request(f"qlive_room/{action}_micro/", guest, f'{{"live_id": {guest.live_id}}}')
        for action in ("apply", "accept")
        for guest in guests
    ]
    return leaves + posts


def hot_room_requests(guests: Sequence[Guest]) -> list[bytes]:
    """apply and refuse of each guest, in load.c's order."""
    return [
        _post_request(f"qlive_room/{action}_micro/", guest, f'{{"live_id": {guest.live_id}}}')
        for action in ("apply", "refuse")
        for guest in guests
    ]


def write_request_file(path: Path, requests: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in requests))


def _post_request(path: str, guest: Guest, body: str) -> bytes:
    head = _head(f"POST /wx/api/qlive/{path}", guest)
    return head + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _head(request_line: str, guest: Guest) -> bytes:
    return (
        f"{request_line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: QLiveToken {guest.token}\r\n"
    ).encode()
