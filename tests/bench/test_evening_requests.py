"""The mixed evening of bench/calls."""

import re
from collections import Counter

from bench.calls.requests import evening_requests
from bench.checkout import Guest

GUESTS = [Guest(n, f"{n:040x}", f"host{n}", "e", 1) for n in range(1, 5)]
REQUESTS = 50


def evenings() -> list[list[str]]:
    """The requests of each guest, in the order in which load.c sends them."""
    requests = [request.decode() for request in evening_requests(GUESTS, 0)]
    return [requests[number :: len(GUESTS)] for number in range(len(GUESTS))]


def call(request: str) -> str:
    """Last part of the path, without the query."""
    match = re.match(r"(?:GET|POST) /wx/api/qlive/(?:\w+/)?(\w+)/(?:\?\S*)? HTTP/1\.1\r\n", request)
    assert match, request
    return match[1]


def test_each_guest_sends_45_reads_in_equal_shares_two_changes_and_a_gift_in_an_own_order() -> None:
    orders = [[call(request) for request in evening] for evening in evenings()]
    assert len({tuple(order) for order in orders}) == len(GUESTS)
    assert evenings() == evenings()
    for order in orders:
        assert len(order) == REQUESTS
        assert (order[0], order[-1]) == ("get_playurl", "leave_room")
        assert order.index("apply_micro") < order.index("refuse_micro")
        calls = Counter(order)
        reads = [
            calls.pop(name)
            for name in ("get_user_state", "get_userinfo", "get_livelist", "get_users_info")
        ]
        assert (sum(reads), max(reads) - min(reads)) == (45, 1)
        others = ("get_playurl", "apply_micro", "refuse_micro", "push_gift", "leave_room")
        assert calls == dict.fromkeys(others, 1)


def test_each_request_is_the_guests_own_in_their_room() -> None:
    for guest, evening in zip(GUESTS, evenings(), strict=True):
        for request in evening:
            assert f"\r\nAuthorization: QLiveToken {guest.token}\r\n" in request
            rooms = re.findall(r'live_id(?:=|": )(\d+)', request)
            assert set(rooms) <= {str(guest.live_id)}
            if "push_gift" in request:
                assert f"user_id={guest.host_id} " in request
