"""Bugs of other projects, each with its issue. Covered elsewhere:

- resuming without missed events, after long idleness, or a second time
  (socket.io #5538, #5282, #4880): test_resume.py
- Redis subscriber that silently receives nothing (redis-py #2089): test_redis_bus.py
- negative audience counts (livekit #1130), and a client that only answers pings:
  test_heartbeat_and_audience.py
- room without a host for ever (dogehouse #966): test_presence.py
"""

import asyncio
import json
import socket
from typing import Any

import pytest

from realtime import outbox as outbox_module
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiClient, ApiFixture, Socket
from tests.support.raw_websocket import RawWebSocket, connect_raw
from tests.support.waiting import until
from tests.support.websockets import close_code_of, invite_repeatedly, next_events

NO_REDIS: dict[str, Any] = {"redis": {"url": "redis://127.0.0.1:1/0"}}


@pytest.fixture
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(getattr(request, "param", {}))


def with_settings(**changes: Any) -> Any:
    return pytest.mark.parametrize("changes", [changes], indirect=True, ids=["settings"])


async def open_socket(client: ApiClient, **query: Any) -> tuple[Socket, dict[str, Any]]:
    """A socket and its first frame."""
    room_socket = await client.connect(**query)
    return room_socket, await room_socket.next()


# ---- resuming


@pytest.mark.gen_test(timeout=30)
async def test_wrong_resume_position_is_corrected_by_the_first_frame(api: ApiFixture) -> None:
    """mattermost #30388: endless reconnects with a wrong sequence number."""
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await invite_repeatedly(host, bert, 3)
    _, first = await open_socket(host)
    positions: list[tuple[object, str, str]] = [
        *((since, first["epoch"], "ahead") for since in (4, 99, 10**14)),
        *((since, first["epoch"], "epoch") for since in ("x", -1)),
        *((since, "another", "epoch") for since in (3, 10**14, "x")),
        (0, "", "epoch"),
    ]
    for since, epoch, reset in positions:
        _, snapshot = await open_socket(host, since=since, epoch=epoch)
        assert (snapshot["type"], snapshot["seq"], snapshot["reset"]) == ("snapshot", 3, reset)
        room_socket, resumed = await open_socket(
            host, since=snapshot["seq"], epoch=snapshot["epoch"]
        )
        assert (resumed["type"], resumed["seq"], resumed["replayed"]) == ("resumed", 3, 0)
    await invite_repeatedly(host, bert, 1)
    assert json.loads((await next_events(room_socket, 1))[0])["seq"] == 4


@pytest.mark.gen_test(timeout=30)
async def test_bye_to_a_slow_client_has_a_reconnect_delay(
    api: ApiFixture, server: ServerProcess
) -> None:
    """centrifuge-js #408: 189 reconnects in half a second."""
    host = await api.host()
    room_socket, _ = await open_socket(host)
    [(_, outbox)] = server.context.hub.members
    outbox.disconnect_slow()
    bye = await room_socket.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4001, True)
    assert 100 <= bye["retry_ms"] <= 1500
    assert await room_socket.close_code() == 4001


# ---- dead and slow clients


async def connect_without_reading(client: ApiClient, server: ServerProcess) -> RawWebSocket:
    """A client that reads nothing, on sockets with small kernel buffers."""
    raw_client = await connect_raw(client)
    raw_client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    [outbox] = [outbox for _, outbox in server.context.hub.members if outbox.user_id == client.id]
    outbox._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client_socket = raw_client.writer.get_extra_info("socket")
    client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return raw_client


@pytest.mark.gen_test(timeout=60)
async def test_dead_client_does_not_affect_others_and_can_resume(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bokeh #13654; a client that was only suspended resumes without missing events."""
    monkeypatch.setattr("handlers.websocket.connection.BACKLOG_BYTES", 4096)
    monkeypatch.setattr("runtime.jobs.BACKLOG_SECONDS", 100)  # on a slow machine, too
    monkeypatch.setattr(outbox_module, "CLOSE_TIMEOUT_SECONDS", 60)  # the client is to read all
    host = await api.host()
    bert, anna = [await api.guest(*who, host.live_id) for who in (("bert", 1), ("anna", 2))]
    listener, _ = await open_socket(host)
    slow_client = await connect_without_reading(anna, server)
    sent = 0
    while any(outbox.user_id == anna.id for _, outbox in server.context.hub.members):
        await invite_repeatedly(host, bert, 1)
        sent += 1
        [outbox] = [outbox for outbox in server.context.hub._open if outbox.user_id == anna.id] or [
            None
        ]
        if outbox is None or outbox.close_code is not None:
            break
        assert sent < 1000
    received = await next_events(listener, sent)
    assert [json.loads(text)["seq"] for text in received] == list(range(1, sent + 1))
    slow_client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    *texts, _ = await slow_client.read_until_close()
    frames = [json.loads(data) for _, data in texts]
    delivered = [frame["seq"] for frame in frames if frame["type"] == "micro_invite"]
    assert delivered == list(range(1, len(delivered) + 1))
    assert frames[-1]["code"] == 4001
    await slow_client.close()
    epoch = json.loads(received[0])["epoch"]
    new_socket, first = await open_socket(anna, since=len(delivered), epoch=epoch)
    assert (first["type"], first["replayed"]) == ("resumed", sent - len(delivered))
    assert await next_events(new_socket, sent - len(delivered)) == received[len(delivered) :]


@pytest.mark.gen_test(timeout=60)
@with_settings(presence={"shown_after_seconds": 0.2})
async def test_client_that_vanishes_without_closing_is_detected(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tornado #2835: without FIN or RST, on_close is never called when the network is lost."""
    monkeypatch.setattr("realtime.outbox.CLOSE_TIMEOUT_SECONDS", 0.1)
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    listener, _ = await open_socket(bert)
    host_socket = await connect_raw(host)
    host_socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
    [outbox] = [outbox for _, outbox in server.context.hub.members if outbox.user_id == host.id]
    outbox.received_at -= server.settings.realtime.silent_seconds
    assert (await listener.next("member_away"))["data"]["user_id"] == host.id
    assert (await listener.next("live_pause"))["data"]["user_id"] == host.id
    assert server.context.hub.open == 1
    await host_socket.close()


# ---- without Redis


@pytest.mark.gen_test(timeout=30)
@with_settings(**NO_REDIS)
async def test_process_without_redis_is_degraded_but_serves(api: ApiFixture) -> None:
    """livekit #4663."""
    ready = await api.request("GET", "/readyz")
    assert (ready.status, ready.json["status"]) == (200, "degraded")
    assert ready.json["dependencies"]["redis"]["state"] == "down"
    assert (await api.request("GET", "/healthz")).ok() == {"status": "ok"}
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    listener, _ = await open_socket(host)
    await invite_repeatedly(host, bert, 3)
    assert [json.loads(t)["seq"] for t in await next_events(listener, 3)] == [1, 2, 3]


# ---- members and the mic queue


@pytest.mark.gen_test(timeout=30)
async def test_removed_user_cannot_reenter_with_an_old_or_new_token(api: ApiFixture) -> None:
    """livekit PR #4344."""
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    room_socket, first = await open_socket(bert)
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=bert.id)).ok()
    assert await close_code_of(room_socket) == 4503
    credentials = await api.wechat("bert", 1)
    body = {name: credentials[name] for name in ("appId", "code")}
    login = (await api.request("POST", f"{BASE}qlive_user/login/", json=body)).ok()
    for token in (bert.token, login["token"]):
        bert.token = token
        assert (await bert.get("get_playurl/", live_id=host.live_id)).status == 403
        applied = await bert.post("qlive_room/apply_micro/", live_id=host.live_id)
        assert applied.refusal == (409, "not_in_room")
        assert await close_code_of(await bert.connect(epoch=first["epoch"], since=0)) == 4503


@pytest.mark.gen_test(timeout=30)
@with_settings(presence={"shown_after_seconds": 60})
async def test_brief_host_disconnects_do_not_pause_or_end_the_live(api: ApiFixture) -> None:
    """Agora-WordPress #85: a short disconnect of the host ended the session."""
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    listener, _ = await open_socket(bert)
    for _ in range(3):
        room_socket, first = await open_socket(host)
        assert first["data"]["status"] == "live"
        room_socket.connection.transport.abort()
        await room_socket.connection.wait_closed()
    new_socket, _ = await open_socket(host)
    await invite_repeatedly(host, bert, 1)
    assert (await listener.next())["type"] == "micro_invite"
    assert (await new_socket.next())["seq"] == 1


@pytest.mark.gen_test(timeout=30)
@with_settings(presence={"viewer_seconds": 0.5})
async def test_departed_users_are_removed_from_the_mic_queue(api: ApiFixture) -> None:
    """jitsi PR #10327: users who had left stayed in the queue."""
    host = await api.host()
    leaves, logs_out, is_put_out, _ = guests = [
        await api.guest(name, 1, host.live_id) for name in ("bert", "carl", "emil", "fred")
    ]
    sockets = [(await open_socket(guest))[0] for guest in guests]
    for guest in guests:
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    listener, first = await open_socket(host)
    assert [row["user_id"] for row in first["data"]["applicants"]] == [g.id for g in guests]
    (await leaves.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    (await logs_out.get("qlive_user/logout/")).ok()
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=is_put_out.id)).ok()
    sockets[-1].connection.transport.abort()
    refused = [(await listener.next("micro_refuse"))["data"]["user_id"] for _ in guests]
    assert refused == [guest.id for guest in guests]
    _, after = await open_socket(host)
    assert after["data"]["applicants"] == []


@pytest.mark.gen_test(timeout=30)
async def test_refused_applicant_receives_the_reason(api: ApiFixture) -> None:
    """hivesnaps PR #223: the applicant was never notified."""
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    here: Any = {"live_id": host.live_id}
    guest_socket, _ = await open_socket(bert)
    for reason in ("refused", "withdrawn", "host"):
        if reason == "refused":
            await invite_repeatedly(host, bert, 1)
            await guest_socket.next("micro_invite")
        else:
            (await bert.post("qlive_room/apply_micro/", **here)).ok()
            await guest_socket.next("micro_apply")
        if reason == "host":
            (await host.get("qlive_room/leave_micro/", user_id=bert.id, **here)).ok()
        else:
            (await bert.post("qlive_room/refuse_micro/", **here)).ok()
        refusal = await guest_socket.next("micro_refuse")
        assert (refusal["data"]["user_id"], refusal["data"]["reason"]) == (bert.id, reason)


@pytest.mark.gen_test(timeout=30)
async def test_many_clients_reconnecting_at_once_all_resume(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    guests = [await api.guest(f"g{n}", 0, host.live_id) for n in range(12)]
    sockets = [await open_socket(guest) for guest in guests]
    await invite_repeatedly(host, bert, 2)
    for room_socket, _ in sockets:
        await next_events(room_socket, 2)
        room_socket.connection.transport.abort()
    await until(lambda: not server.context.hub.sockets)
    await invite_repeatedly(host, bert, 2)
    epoch = sockets[0][1]["epoch"]
    resumed = await asyncio.gather(*(open_socket(guest, epoch=epoch, since=2) for guest in guests))
    assert [(first["type"], first["replayed"]) for _, first in resumed] == [("resumed", 2)] * 12
    texts = [await next_events(room_socket, 2) for room_socket, _ in resumed]
    assert texts == [texts[0]] * 12
