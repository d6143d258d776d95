"""Private lives and tickets over HTTP; tests/rooms and tests/services show the rules."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from core.clock import CHINA_TZ
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import OK, chat, group_of, until_delivered, user_sig
from tests.support.mic import stream_of, take_seat
from tests.support.waiting import until

ENTER = "qlive_room/matchmaker_enter/"
UPDATE = "qlive_room/update_room/"
INVITE = "qlive_room/invitation/"
WITHDRAW = "qlive_room/invitation/withdraw/"


async def private_host(api: ApiFixture) -> ApiClient:
    """A matchmaker whose live has begun private."""
    host = await api.matchmaker()
    host.live_id = (await host.post(ENTER, visibility="private")).ok()["live_id"]
    return host


async def ticket_of(host: ApiClient, by: str = "link", **options: object) -> str:
    reply = await host.post(INVITE, live_id=host.live_id, by=by, **options)
    return str(reply.ok()["ticket"])


async def test_a_private_live_is_closed_to_users_without_an_invitation(api: ApiFixture) -> None:
    host = await private_host(api)
    anna, tom = await api.user("anna", 2), await api.user("tom", 1)
    room = {"live_id": host.live_id}
    ticket = await ticket_of(host)
    entered = (await anna.get("get_playurl/", ticket=ticket)).ok()
    assert (entered["live_id"], entered["group_id"]) == (host.live_id, await group_of(host))
    assert (await tom.get("get_livelist/")).ok() == []
    for params in (room, {**room, "ticket": ""}):
        refused = await tom.get("get_playurl/", **params)
        assert refused.refusal == (403, "invitation_required")
    for invalid in (ticket, "forged"):
        refused = await tom.get("get_playurl/", **room, ticket=invalid)
        assert refused.refusal == (403, "invitation_invalid")
    assert (await tom.get("get_playurl/")).refusal == (400, "bad_parameter")
    refused = await tom.get("qlive_user/get_users_info/", **room, gender=2)
    assert refused.refusal == (403, "not_in_room")
    frame = await (await tom.connect(host.live_id)).next("bye")
    assert frame["code"] == 4504
    assert (await anna.get("get_playurl/", **room)).ok(), "who is inside comes back"
    anna.live_id = host.live_id
    snapshot = await (await anna.connect()).next("snapshot")
    assert snapshot["data"]["visibility"] == "private"
    full = await ticket_of(host, uses=5)
    (await (await api.user("bert", 1)).get("get_playurl/", ticket=full)).ok()
    assert (await tom.get("get_playurl/", ticket=full)).refusal == (409, "room_full")
    detail = (await api.ops("GET", f"rooms/{host.live_id}")).ok()
    assert detail["room"]["visibility"] == "private"


async def test_a_live_that_becomes_private_and_public_again(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    groups = server.simulator.im.groups
    host = await api.host()
    bert, tom = [await api.guest(name, 1, host.live_id) for name in ("bert", "tom")]
    await take_seat(bert)
    public_group = await group_of(host)
    first = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    (await tom.get("qlive_room/leave_room/", live_id=host.live_id)).ok()
    socket = await bert.connect()
    epoch = (await socket.next("snapshot"))["epoch"]
    changed = (await host.post(UPDATE, live_id=host.live_id, visibility="private")).ok()
    group = (await socket.next("group"))["data"]["group_id"]
    event = (await socket.next("visibility"))["data"]
    assert event["visibility"] == "private"
    assert event["by"] == {"user_id": host.id, "nickname": host.name}
    again = (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    for seat in ("owner", "male"):
        shown = again[seat]["play_url"].partition("?")[0]
        assert event["play_urls"][seat].partition("?")[0] == shown
        assert shown != first[seat]["play_url"].partition("?")[0]
    assert event["play_urls"]["female"] is None
    assert stream_of(changed) in again["owner"]["play_url"]
    assert again["push_url"]
    assert (await tom.get("get_livelist/")).ok() == []
    repeated = (await host.post(UPDATE, live_id=host.live_id, visibility="private")).ok()
    assert repeated == {"detail": "OK"}
    await until_delivered(server)
    assert (list(groups), await group_of(bert)) == ([group], group)
    assert (await tom.get("get_playurl/", live_id=host.live_id)).refusal[0] == 403

    opened = (await host.post(ENTER, visibility="public")).ok()
    assert opened["group_id"] not in (public_group, group)
    assert stream_of(opened) == stream_of(changed)
    await socket.next("group")
    assert "play_urls" not in (await socket.next("visibility"))["data"]
    [listed] = (await tom.get("get_livelist/")).ok()
    assert listed["group_id"] == opened["group_id"]
    (await tom.get("get_playurl/", live_id=host.live_id)).ok()
    newcomer = await (await tom.connect(epoch=epoch, since=1)).next("snapshot")
    assert newcomer["reset"] == "too_old", "what happened in private is not replayed"
    await until_delivered(server)
    assert list(groups) == [opened["group_id"]]
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    refused = await host.post(UPDATE, live_id=host.live_id, visibility="private")
    assert refused.refusal == (409, "not_live")


async def put_out(_api: ApiFixture, host: ApiClient, user: ApiClient) -> None:
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=user.id)).ok()


async def leave(_api: ApiFixture, host: ApiClient, user: ApiClient) -> None:
    (await user.get("qlive_room/leave_room/", live_id=host.live_id)).ok()


async def enter_another_live(api: ApiFixture, _host: ApiClient, user: ApiClient) -> None:
    other = await api.host("other")
    (await user.get("get_playurl/", live_id=other.live_id)).ok()


def played(url: str) -> str:
    """The stream of a play URL."""
    [stream] = re.findall(r"[0-9]{8}_[0-9a-f]{24}", url)
    return str(stream)


@pytest.mark.parametrize("depart", [put_out, leave, enter_another_live])
async def test_who_has_left_a_private_live_knows_neither_its_group_nor_its_streams(
    depart: Callable[[ApiFixture, ApiClient, ApiClient], Awaitable[None]],
    api: ApiFixture,
    server: ServerProcess,
) -> None:
    assert server.simulator
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    (await host.post(UPDATE, live_id=host.live_id, visibility="private")).ok()
    known = (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    socket = await anna.connect()
    await socket.next("snapshot")
    await until_delivered(server)
    await depart(api, host, bert)
    event = (await socket.next("visibility"))["data"]
    assert event.keys() == {"visibility", "play_urls"}, "nobody has changed the visibility"
    group = (await socket.next("group"))["data"]["group_id"]
    await until_delivered(server)
    assert played(known["owner"]["play_url"]) in server.simulator.live_streaming.dropped
    groups = server.simulator.im.groups
    assert group in groups
    assert known["group_id"] not in groups
    new_stream = played(event["play_urls"]["owner"])
    again = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (played(again["owner"]["play_url"]), stream_of(again)) == (new_stream, new_stream)


async def test_the_streams_of_a_private_live_are_renewed_without_im_and_the_group_after_it(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    host = await api.host()
    anna, bert = [await api.guest(name, 2, host.live_id) for name in ("anna", "bert")]
    (await host.post(UPDATE, live_id=host.live_id, visibility="private")).ok()
    known = (await bert.get("get_playurl/", live_id=host.live_id)).ok()
    socket = await anna.connect()
    await socket.next("snapshot")
    await api.outage("im", status=500)
    await leave(api, host, bert)
    await socket.next("visibility")
    dropped = server.simulator.live_streaming.dropped
    await until(lambda: played(known["owner"]["play_url"]) in dropped)
    await api.outage("im")
    group = (await socket.next("group"))["data"]["group_id"]
    assert group != known["group_id"]
    rooms = server.context.stores.rooms
    room = await rooms.read(host.live_id)
    assert room
    events = await rooms.log_since(host.live_id, room.epoch, 0) or ()
    assert [event.type for event in events].count("visibility") == 2, "the streams, once"


async def test_private_lives_and_the_first_public_one_after_them_have_new_groups(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    host = await api.matchmaker()
    groups = []
    for visibility in ("private", "private", None, "public", "private"):
        word = {"visibility": visibility} if visibility else {}
        opened = (await host.post(ENTER, **word)).ok()
        kept = (await host.post(ENTER)).ok()
        assert kept["group_id"] == opened["group_id"], "a running live keeps its visibility"
        groups.append(opened["group_id"])
        (await host.post("qlive_room/live_end/", live_id=opened["live_id"])).ok()
    first, second, public, again, last = groups
    assert public == again
    assert len({first, second, public, last}) == 4
    await until_delivered(server)
    assert list(server.simulator.im.groups) == [last]


async def test_without_im_no_live_becomes_or_begins_private(api: ApiFixture) -> None:
    host, other = await api.host(), await api.host("other")
    (await other.post("qlive_room/live_end/", live_id=other.live_id)).ok()
    viewer = await api.user("anna", 2)
    before = (await viewer.get("get_livelist/")).ok()
    await api.outage("im", status=500)
    refused = await host.post(UPDATE, live_id=host.live_id, visibility="private")
    assert refused.refusal == (503, "im_away")
    assert (await other.post(ENTER, visibility="private")).refusal == (503, "im_away")
    assert (await viewer.get("get_livelist/")).ok() == before
    await api.outage("im")


async def test_the_relay_goes_on_in_the_new_group_and_only_members_write_there(
    api: ApiFixture, server: ServerProcess
) -> None:
    assert server.simulator
    im = server.simulator.im
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id, gold=10)
    tom = await api.user("tom", 1)
    (await host.post(UPDATE, live_id=host.live_id, visibility="private")).ok()
    group = await group_of(bert)
    (await bert.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, num=1)).ok()

    def groups_of_gifts() -> list[str]:
        return [sent["group"] for sent in im.messages if '"type": "gift"' in sent["text"]]

    await until(lambda: groups_of_gifts() == [group])
    assert await chat(api, bert.id, await user_sig(bert), group, text="hi") == OK
    assert await chat(api, tom.id, await user_sig(tom), group, text="hi") != OK


@pytest.mark.parametrize("changes", [{"ranking": {"public": "consented"}}])
async def test_gifts_in_a_private_live_are_in_no_ranking(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    for client in (host, bert):
        (await client.post("qlive_user/update_userinfo/", show_in_ranking=1)).ok()
    gift = {"user_id": host.id, "gift_id": 1, "num": 1}
    room = {"live_id": host.live_id}
    nobody = {"senders": [], "takings": []}
    (await host.post(UPDATE, **room, visibility="private")).ok()
    (await bert.get("qlive_gift/push_gift/", **gift)).ok()
    assert (await bert.get("qlive_room/rank/", **room)).ok() == nobody
    assert (await bert.get("qlive_room/day_rank/")).ok() == nobody
    (await host.post(UPDATE, **room, visibility="public")).ok()
    assert (await bert.get("qlive_room/rank/", **room)).ok() == nobody
    (await bert.get("qlive_gift/push_gift/", **gift)).ok()
    assert (await bert.get("qlive_room/rank/", **room)).ok()["senders"]
    assert await server.context.services.gold.audit.check() == []


# ---- tickets


async def test_an_invitation_is_issued_listed_refused_and_withdrawn(api: ApiFixture) -> None:
    host = await private_host(api)
    anna, tom = await api.user("anna", 2), await api.user("tom", 1)
    room = {"live_id": host.live_id}
    issued = (await host.post(INVITE, **room, by="app", user_id=anna.id, minutes=5)).ok()
    assert issued.keys() == {"ticket", "expires_at", "path"}
    assert re.fullmatch(r"[0-9a-z]{16,32}", issued["ticket"])
    assert issued["path"] == f"pages/room/room?t={issued['ticket']}"
    expires_at = datetime.fromisoformat(issued["expires_at"]).replace(tzinfo=CHINA_TZ)
    assert timedelta(minutes=4) < expires_at - datetime.now(CHINA_TZ) <= timedelta(minutes=5)
    link = (await host.post(INVITE, **room, by="link", uses=9, request_id="r1")).ok()
    assert link["link"].endswith(f"?cq=t%3D{link['ticket']}")
    for params, code in (
        ({"by": "code", "request_id": "r1"}, "request_id_reused"),
        ({"by": "app"}, "bad_parameter"),
        ({"by": "app", "user_id": "99999999"}, "no_such_user"),
        ({"by": "link", "minutes": 1441}, "bad_parameter"),
        ({"by": "link", "uses": 101}, "bad_parameter"),
    ):
        assert (await host.post(INVITE, **room, **params)).refusal[1] == code
    for reply in (
        await tom.post(INVITE, **room, by="link"),
        await tom.get(INVITE, **room),
        await tom.post(WITHDRAW, **room, ticket=link["ticket"]),
    ):
        assert reply.refusal == (403, "not_host")
    (await tom.get("get_playurl/", ticket=link["ticket"])).ok()
    rows = (await host.get(INVITE, **room)).ok()
    assert [(row["by"], row["user_id"], row["uses"], row["taken"]) for row in rows] == [
        ("app", anna.id, 1, 0),
        ("link", "", 9, 1),
    ]
    (await anna.post(WITHDRAW, **room, ticket=issued["ticket"])).ok()
    for _ in range(2):
        (await host.post(WITHDRAW, **room, ticket=link["ticket"])).ok()
    assert (await host.get(INVITE, **room)).ok() == []


async def test_friends_and_strangers_enter_by_what_wechat_adds_to_a_ticket(api: ApiFixture) -> None:
    host = await private_host(api)
    anna, tom = [await api.user(name, 1) for name in ("anna", "tom")]
    room = {"live_id": host.live_id}
    (await api.log_in("anna")).ok()  # WeChat's session key is that of a login
    friend = (await host.post(INVITE, **room, by="friend")).ok()
    message = {"name": "anna", "activity_id": friend["activity_id"]}
    sent = (await api.request("POST", "/sim/phone/private_message", json=message)).ok()
    proof = {"ticket": friend["ticket"], "encryptedData": sent["encryptedData"], "iv": sent["iv"]}
    assert (await tom.get("get_playurl/", **proof)).refusal == (401, "log_in_again")
    assert (await anna.get("get_playurl/", **proof)).ok()["live_id"] == host.live_id
    code = (await host.post(INVITE, **room, by="code")).ok()
    assert code["picture"].endswith(".jpg")
    await api.outage("wechat", status=500)
    issued = (await host.post(INVITE, **room, by="friend")).ok()
    assert issued.keys() == {"ticket", "expires_at", "path", "unavailable"}
    assert issued["unavailable"] == "wechat"
    assert (await tom.get("get_playurl/", ticket=issued["ticket"])).ok()["live_id"] == host.live_id
