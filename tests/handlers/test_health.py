import re

import pytest

from server import Server
from tests.phones import Street


async def figures(street: Street) -> dict[str, float]:
    page = await street.ask("GET", "/metrics")
    assert page.headers["Content-Type"].startswith("text/plain")
    lines = [line.rsplit(" ", 1) for line in page.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


@pytest.mark.gen_test(timeout=20)
async def test_the_process_says_that_it_is_alive(street: Street) -> None:
    assert (await street.ask("GET", "/healthz")).ok() == {"status": "ok"}


@pytest.mark.gen_test(timeout=20)
async def test_ready_names_every_dependency_with_state_and_latency(street: Street) -> None:
    before = (await street.ask("GET", "/readyz")).ok()
    assert before["status"] == "ok"
    assert before["dependencies"].keys() == {"mongodb", "wechat", "im", "pay"}
    assert before["dependencies"]["mongodb"]["state"] == "ok"
    assert before["dependencies"]["mongodb"]["latency_ms"] > 0
    wechat = before["dependencies"]["wechat"]
    assert (wechat["state"], wechat["latency_ms"]) == ("unknown", None)
    assert wechat["since"]
    await street.person("anna", 2)
    wechat = (await street.ask("GET", "/readyz")).ok()["dependencies"]["wechat"]
    assert wechat["state"] == "ok"
    assert wechat["latency_ms"] > 0


@pytest.mark.gen_test(timeout=20)
async def test_a_service_outside_that_is_down_degrades_and_takes_nobody_away(
    street: Street,
) -> None:
    anna = await street.person("anna", 2)
    await street.outage("pay", status=500)
    assert (await anna.post("qlive_pay/", block_id=1)).status == 503
    ready = (await street.ask("GET", "/readyz")).ok()
    assert (ready["status"], ready["dependencies"]["pay"]["state"]) == ("degraded", "down")
    await street.outage("pay")
    (await anna.post("qlive_pay/", block_id=1)).ok()
    assert (await street.ask("GET", "/readyz")).ok()["status"] == "ok"


@pytest.mark.gen_test(timeout=20)
async def test_a_server_that_drains_is_alive_and_not_ready(street: Street, server: Server) -> None:
    server.parts.draining = True
    answer = await street.ask("GET", "/readyz")
    assert (answer.status, answer.json["status"]) == (503, "draining")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await street.ask("GET", "/healthz")).status == 200


@pytest.mark.gen_test(timeout=20)
async def test_the_metrics_count_requests_by_route_method_and_status(street: Street) -> None:
    anna = await street.person("anna", 2)
    for _ in range(3):
        (await anna.get("get_configs/")).ok()
    assert (await street.ask("GET", "/wx/api/qlive/get_configs/")).status == 401
    await street.ask("GET", "/no/such/path")
    seen = await figures(street)
    name = 'qlive_requests_total{method="GET",route="%s",status="%s"}'
    assert seen[name % ("GetConfigs", 200)] == 3
    assert seen[name % ("GetConfigs", 401)] == 1
    assert seen[name % ("Missing", 404)] == 1
    assert seen['qlive_request_seconds_count{route="GetConfigs"}'] == 4
    assert seen['qlive_mongo_seconds_count{command="find",outcome="ok"}'] > 0
    assert seen["qlive_requests_under_way"] == 0
    assert (await street.ask("BREW", "/coffee")).status == 405
    assert 'method="other"' in (await street.ask("GET", "/metrics")).text


@pytest.mark.gen_test(timeout=20)
async def test_the_metrics_count_rooms_sockets_and_events(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket, own = await anna.connect(), await host.connect()
    for one in (socket, own):
        await one.next("snapshot")
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")
    seen = await figures(street)
    assert (seen["qlive_sockets"], seen["qlive_rooms_here"]) == (2, 1)
    assert seen["qlive_events_told_total"] == 1
    assert seen["qlive_handshakes_total"] == 2
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    for one in (socket, own):
        assert await one.closed() == 4510
    seen = await figures(street)
    assert (seen["qlive_sockets"], seen["qlive_events_told_total"]) == (0, 2)
    assert "qlive_loop_lag_seconds" in seen
    assert "qlive_hints_filled_total" in seen


@pytest.mark.gen_test(timeout=20)
async def test_a_path_that_somebody_makes_up_makes_no_new_label(street: Street) -> None:
    for number in range(5):
        await street.ask("GET", f"/made/up/{number}")
    routes = {
        found[1] for name in await figures(street) if (found := re.search('route="(.*?)"', name))
    }
    assert routes <= {"Missing", "MetricsPage"}
