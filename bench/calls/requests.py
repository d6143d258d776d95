"""HTTP requests as load.c reads them from a file."""

from collections.abc import Sequence
from pathlib import Path

from bench.calls.people import Guest


def read(path: str, guest: Guest) -> bytes:
    """`path` may name `{live_id}`."""
    where = path.format(live_id=guest.live_id)
    return _head(f"GET /wx/api/qlive/{where}", guest) + b"\r\n"


def changes(guests: Sequence[Guest]) -> list[bytes]:
    """apply, accept and leave of each guest, in the order in which load.c hands them out.

    Everybody leaves first, since the run before may have ended anywhere.
    """
    asked = [
        _post(f"qlive_room/{act}_micro/", guest, f'{{"live_id": {guest.live_id}}}')
        for act in ("apply", "accept")
        for guest in guests
    ]
    return [read("qlive_room/leave_micro/?live_id={live_id}", it) for it in guests] + asked


def write(path: Path, requests: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in requests))


def _post(path: str, guest: Guest, body: str) -> bytes:
    head = _head(f"POST /wx/api/qlive/{path}", guest)
    return head + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _head(asked: str, guest: Guest) -> bytes:
    return (
        f"{asked} HTTP/1.1\r\nHost: localhost\r\nAuthorization: QLiveToken {guest.token}\r\n"
    ).encode()
