import math

from chaos.flood import PASSED, Attacker, Flood, calls, encode
from chaos.scenarios.hostile import turnover
from chaos.seated_guest import stream_of
from tests.support.nginx import DEPLOY

FLOOD = Flood([8000], [Attacker("t0", "10.0.0.1")], 7, "12345678", "wx1", 1.0)


def test_turnover_is_the_shortest_time_of_as_many_events_as_the_log_has() -> None:
    assert turnover([0, 1_000, 1_500, 9_000], size=2) == 1.5
    assert turnover([0, 1_000], size=2) == math.inf


def test_a_flood_has_the_same_content_after_its_transfer_as_json() -> None:
    assert Flood.from_json(FLOOD.to_json().decode()) == FLOOD


def test_a_flood_sends_as_many_requests_as_nginx_passes() -> None:
    config = (DEPLOY / "nginx.conf").read_text()
    assert f"zone=token:10m rate={PASSED.per_second:.0f}r/s" in config
    assert f"zone=token burst={PASSED.burst - 1} nodelay" in config


def test_a_flood_encodes_requests_of_every_kind_with_the_attackers_address() -> None:
    for kind, requests in calls(FLOOD).items():
        request = encode(next(requests), FLOOD.attackers[0]).decode()
        assert "X-Forwarded-For: 10.0.0.1" in request, kind
        head, _, body = request.partition("\r\n\r\n")
        assert f"Content-Length: {len(body)}" in head, kind


def test_the_operators_api_is_sent_a_wrong_operators_token() -> None:
    request = encode(next(calls(FLOOD)["ops"]), FLOOD.attackers[0]).decode()
    assert "Authorization: Bearer t0" in request


def test_the_name_of_a_stream_is_the_last_part_of_its_path() -> None:
    assert stream_of("rtmp://push.example.com/live/1_ab?txSecret=x&txTime=y") == "1_ab"
