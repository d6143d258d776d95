"""What other projects have paid for, each with where. Also told elsewhere here:

- recovery when nothing happened while away, after long idleness, or the second time
  (socket.io #5538, #5282, #4880): test_resume.py
- the Redis subscriber silently deaf (redis-py #2089): test_redis_bus.py
- counts go negative (livekit #1130), and a phone that only answers pings: test_passing.py
- the room stays hostless for ever (dogehouse #966): test_presence.py
"""

import asyncio
import json
import socket
from typing import Any

import pytest

from server import Server
from tests.phones import BASE, Phone, Socket, Street
from tests.realtime.listening import numbered, parted, speak, until
from tests.realtime.wire import Wire, dial

NO_REDIS: dict[str, Any] = {"redis": {"url": "redis://127.0.0.1:1/0"}}


@pytest.fixture
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(getattr(request, "param", {}))


def with_settings(**changes: Any) -> Any:
    return pytest.mark.parametrize("changes", [changes], indirect=True, ids=["set"])


async def listening(phone: Phone, **query: Any) -> tuple[Socket, dict[str, Any]]:
    """A socket and its first frame."""
    found = await phone.connect(**query)
    return found, await found.next()


# ---- coming back


@pytest.mark.gen_test(timeout=30)
async def test_a_wrong_seq_is_put_right_by_the_first_answer(street: Street) -> None:
    """mattermost #30388: reconnecting for ever on a wrong number."""
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    await speak(host, bert, 3)
    _, first = await listening(host)
    wrongs: list[tuple[object, str, str]] = [
        *((since, first["epoch"], "ahead") for since in (4, 99, 10**14)),
        *((since, first["epoch"], "epoch") for since in ("x", -1)),
        *((since, "another", "epoch") for since in (3, 10**14, "x")),
        (0, "", "epoch"),
    ]
    for since, epoch, reset in wrongs:
        _, wrong = await listening(host, since=since, epoch=epoch)
        assert (wrong["type"], wrong["seq"], wrong["reset"]) == ("snapshot", 3, reset)
        found, right = await listening(host, since=wrong["seq"], epoch=wrong["epoch"])
        assert (right["type"], right["seq"], right["replayed"]) == ("resumed", 3, 0)
    await speak(host, bert, 1)
    assert json.loads((await numbered(found, 1))[0])["seq"] == 4


@pytest.mark.gen_test(timeout=30)
async def test_whoever_is_to_come_back_is_told_not_to_do_so_at_once(
    street: Street, server: Server
) -> None:
    """centrifuge-js #408: 189 reconnects in half a second. Here it is for us to say when."""
    host = await street.host()
    found, _ = await listening(host)
    [(_, outbox)] = server.parts.hub.members
    outbox.cut()
    bye = await found.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4001, True)
    assert 100 <= bye["retry_ms"] <= 1500
    assert await found.closed() == 4001


# ---- dead and slow clients


async def not_reading(phone: Phone, server: Server) -> Wire:
    """A socket whose phone reads nothing, and whose kernel holds little."""
    wire = await dial(phone)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    [outbox] = [one for _, one in server.parts.hub.members if one.user_id == phone.id]
    outbox._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs = wire.writer.get_extra_info("socket")
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return wire


@pytest.mark.gen_test(timeout=60)
@with_settings(limits={"backlog_bytes": 4096})
async def test_one_dead_client_breaks_nothing_for_the_others(
    street: Street, server: Server
) -> None:
    """bokeh #13654; and the dead one, should it only have slept, comes back and misses nothing."""
    host = await street.host()
    bert, anna = [await street.guest(*who, host.live_id) for who in (("bert", 1), ("anna", 2))]
    listener, _ = await listening(host)
    sleeper = await not_reading(anna, server)
    said = 0
    while any(one.user_id == anna.id for _, one in server.parts.hub.members):
        await speak(host, bert, 1)
        said += 1
        [outbox] = [one for one in server.parts.hub._open if one.user_id == anna.id] or [None]
        if outbox is None or outbox.went is not None:
            break
        assert said < 1000
    heard = await numbered(listener, said)
    assert [json.loads(text)["seq"] for text in heard] == list(range(1, said + 1))
    sleeper.writer.transport.resume_reading()  # type: ignore[attr-defined]
    *texts, _ = await sleeper.until_close()
    frames = [json.loads(data) for _, data in texts]
    got = [frame["seq"] for frame in frames if frame["type"] == "micro_invite"]
    assert got == list(range(1, len(got) + 1))
    assert frames[-1]["code"] == 4001
    await sleeper.close()
    epoch = json.loads(heard[0])["epoch"]
    back, first = await listening(anna, since=len(got), epoch=epoch)
    assert (first["type"], first["replayed"]) == ("resumed", said - len(got))
    assert await numbered(back, said - len(got)) == heard[len(got) :]


@pytest.mark.gen_test(timeout=60)
@with_settings(presence={"shown_after_seconds": 0.2})
async def test_a_phone_that_vanishes_without_a_word_is_noticed(
    street: Street, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tornado #2835: on_close never comes when the network is lost: no FIN, no RST, nothing."""
    monkeypatch.setattr("realtime.outbox.GOODBYE_SECONDS", 0.1)
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    listener, _ = await listening(bert)
    vanished = await dial(host)
    vanished.writer.transport.pause_reading()  # type: ignore[attr-defined]
    [outbox] = [one for _, one in server.parts.hub.members if one.user_id == host.id]
    outbox.heard_at -= server.settings.realtime.silent_seconds
    assert (await listener.next("member_away"))["data"]["user_id"] == host.id
    assert (await listener.next("live_pause"))["data"]["user_id"] == host.id
    assert server.parts.hub.open == 1
    await vanished.close()


# ---- without Redis


@pytest.mark.gen_test(timeout=30)
@with_settings(**NO_REDIS)
async def test_a_process_without_redis_is_degraded_and_not_dead(street: Street) -> None:
    """livekit #4663."""
    ready = await street.ask("GET", "/readyz")
    assert (ready.status, ready.json["status"]) == (200, "degraded")
    assert ready.json["dependencies"]["redis"]["state"] == "down"
    assert (await street.ask("GET", "/healthz")).ok() == {"status": "ok"}
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    listener, _ = await listening(host)
    await speak(host, bert, 3)
    assert [json.loads(t)["seq"] for t in await numbered(listener, 3)] == [1, 2, 3]


# ---- who is in, out and in the queue


@pytest.mark.gen_test(timeout=30)
async def test_who_was_put_out_walks_back_in_with_no_token(street: Street) -> None:
    """livekit PR #4344: neither with the old one nor with one of a new login."""
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    found, first = await listening(bert)
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=bert.id)).ok()
    assert await parted(found) == 4503
    got = await street.wechat("bert", 1)
    body = {name: got[name] for name in ("appId", "code")}
    login = (await street.ask("POST", f"{BASE}qlive_user/login/", json=body)).ok()
    for token in (bert.token, login["token"]):
        bert.token = token
        assert (await bert.get("get_playurl/", live_id=host.live_id)).status == 403
        applied = await bert.post("qlive_room/apply_micro/", live_id=host.live_id)
        assert applied.refusal == (409, "not_in_room")
        assert await parted(await bert.connect(epoch=first["epoch"], since=0)) == 4503


@pytest.mark.gen_test(timeout=30)
@with_settings(presence={"shown_after_seconds": 1.5})
async def test_a_hosts_blip_ends_and_shows_nothing(street: Street) -> None:
    """Agora-WordPress #85: it ended everyone's show."""
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    listener, _ = await listening(bert)
    for _ in range(3):
        found, first = await listening(host)
        assert first["data"]["status"] == "live"
        found.connection.transport.abort()
        await found.connection.wait_closed()
    back, _ = await listening(host)
    await speak(host, bert, 1)
    assert (await listener.next())["type"] == "micro_invite"
    assert (await back.next())["seq"] == 1


@pytest.mark.gen_test(timeout=30)
@with_settings(presence={"viewer_seconds": 0.5})
async def test_whoever_is_gone_is_gone_from_the_queue(street: Street) -> None:
    """jitsi PR #10327: people who had left stayed in it."""
    host = await street.host()
    leaves, logs_out, is_put_out, _ = guests = [
        await street.guest(name, 1, host.live_id) for name in ("bert", "carl", "emil", "fred")
    ]
    sockets = [(await listening(guest))[0] for guest in guests]
    for guest in guests:
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    listener, first = await listening(host)
    assert [row["user_id"] for row in first["data"]["applicants"]] == [g.id for g in guests]
    (await leaves.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    (await logs_out.get("qlive_user/logout/")).ok()
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=is_put_out.id)).ok()
    sockets[-1].connection.transport.abort()
    refused = [(await listener.next("micro_refuse"))["data"]["user_id"] for _ in guests]
    assert refused == [guest.id for guest in guests]
    _, after = await listening(host)
    assert after["data"]["applicants"] == []


@pytest.mark.gen_test(timeout=30)
@with_settings(micro={"application_seconds": 1.0, "invitation_seconds": 60})
async def test_a_refused_applicant_is_told_and_told_why(street: Street) -> None:
    """hivesnaps PR #223: the applicant was never told."""
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    here: Any = {"live_id": host.live_id}
    theirs, _ = await listening(bert)
    for reason in ("refused", "withdrawn", "host", "expired"):
        if reason == "refused":
            await speak(host, bert, 1)
            await theirs.next("micro_invite")
        else:
            (await bert.post("qlive_room/apply_micro/", **here)).ok()
            await theirs.next("micro_apply")
        if reason == "host":
            (await host.get("qlive_room/leave_micro/", user_id=bert.id, **here)).ok()
        elif reason != "expired":
            (await bert.post("qlive_room/refuse_micro/", **here)).ok()
        told = await theirs.next("micro_refuse")
        assert (told["data"]["user_id"], told["data"]["reason"]) == (bert.id, reason)


@pytest.mark.gen_test(timeout=30)
async def test_many_who_come_back_at_once_all_resume(street: Street, server: Server) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    guests = [await street.guest(f"g{n}", 0, host.live_id) for n in range(12)]
    sockets = [await listening(guest) for guest in guests]
    await speak(host, bert, 2)
    for found, _ in sockets:
        await numbered(found, 2)
        found.connection.transport.abort()
    await until(lambda: not server.parts.hub.sockets)
    await speak(host, bert, 2)
    epoch = sockets[0][1]["epoch"]
    back = await asyncio.gather(*(listening(one, epoch=epoch, since=2) for one in guests))
    assert [(first["type"], first["replayed"]) for _, first in back] == [("resumed", 2)] * 12
    texts = [await numbered(found, 2) for found, _ in back]
    assert texts == [texts[0]] * 12
