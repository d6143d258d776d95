from chaos.flood import Attacker, Flood, calls, encode
from chaos.scenarios.ban import stream_of

FLOOD = Flood(8000, [Attacker("t0", "10.0.0.1")], 7, "12345678", "wx1", 1.0)


def test_a_flood_has_the_same_content_after_its_transfer_as_json() -> None:
    assert Flood.from_json(FLOOD.to_json().decode()) == FLOOD


def test_a_flood_encodes_requests_of_every_kind() -> None:
    for kind, requests in calls(FLOOD).items():
        request = encode(next(requests), FLOOD.attackers[0]).decode()
        head, _, body = request.partition("\r\n\r\n")
        assert f"Content-Length: {len(body)}" in head, kind


def test_the_operators_api_is_sent_a_wrong_operators_token() -> None:
    request = encode(next(calls(FLOOD)["ops"]), FLOOD.attackers[0]).decode()
    assert "Authorization: Bearer t0" in request


def test_the_name_of_a_stream_is_the_last_part_of_its_path() -> None:
    assert stream_of("rtmp://push.example.com/live/1_ab?txSecret=x&txTime=y") == "1_ab"
