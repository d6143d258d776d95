"""The commands of a live evening name the shard keys that docs/deploy.md gives."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from storage.database import CommandLatency
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import chat, group_of, user_sig
from tests.support.paths import ROOT

SHARDED = re.compile(r'sh\.shardCollection\("qlive\.(\w+)", \{(\w+): (?:1|"hashed")\}')
SWEPT = ("due_at", "delete_at")
"""Fields by which periodic jobs ask all shards for what is due."""
SHARD_KEYS = dict(SHARDED.findall((ROOT / "docs/deploy.md").read_text()))


def filters_of(command: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The collection, and the filter or the new document, of each part of a command."""
    name = next(iter(command))
    collection = command[name]
    match name:
        case "find":
            yield collection, command["filter"]
        case "findAndModify":
            yield collection, command["query"]
        case "insert":
            yield from ((collection, document) for document in command["documents"])
        case "update" | "delete":
            yield from ((collection, write["q"]) for write in command[f"{name}s"])
        case "aggregate":
            yield from _stages(collection, command["pipeline"])
        case "distinct" | "count":
            yield collection, command["query"]


def _stages(collection: str, pipeline: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    first = pipeline[0]
    yield collection, first.get("$match", first.get("$unionWith", {}))
    for stage in pipeline:
        if union := stage.get("$unionWith"):
            yield from _stages(union["coll"], union["pipeline"])


def names_documents(value: Any) -> bool:
    """Whether it is a key, or a list of keys; a range of a hashed key is in every shard."""
    return isinstance(value, str | int) or (isinstance(value, dict) and value.keys() <= {"$in"})


@pytest.fixture
def without_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Commands, as text, that do not name the shard key of their collection."""
    found: list[str] = []
    seen: set[str] = set()

    def started(_self: CommandLatency, event: CommandStartedEvent) -> None:
        for collection, where in filters_of(event.command):
            seen.add(collection)
            key = SHARD_KEYS.get(collection)
            is_sweep = not where.keys().isdisjoint(SWEPT)
            if key and not is_sweep and not names_documents(where.get(key)):
                found.append(f"{event.command_name} {collection} {where}")

    monkeypatch.setattr(CommandLatency, "started", started)
    yield found
    assert seen > SHARD_KEYS.keys() | {"members", "ledger"}


async def test_every_command_of_a_live_evening_names_its_shard_key(
    without_key: list[str], api: ApiFixture
) -> None:
    host = await api.host()
    room = {"live_id": host.live_id}
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id, gold=500)
    await use_lists(host, anna, bert)
    for user in (host, anna, bert):
        await user.watch()
    for guest in (anna, bert):
        (await guest.post("qlive_room/apply_micro/", **room)).ok()
        (await host.post("qlive_room/invite_micro/", **room, user_id=guest.id)).ok()
        (await guest.post("qlive_room/accept_micro/", **room)).ok()
        other = bert if guest is anna else anna
        (await guest.post("qlive_like/", user_id=other.id, like_state=1)).ok()
        (await guest.post("qlive_follow/", user_id=host.id, on=True)).ok()
    assert await chat(api, bert.id, await user_sig(bert), await group_of(bert), text="你好") == 0
    (await bert.get("qlive_gift/push_gift/", user_id=host.id, gift_id=1, request_id="1")).ok()
    (await host.post("qlive_room/mute/", **room, user_id=anna.id, minutes=5)).ok()
    (await host.post("qlive_room/update_room/", **room, room_name="相亲")).ok()
    (await anna.get("qlive_room/leave_micro/", **room)).ok()
    (await anna.get("qlive_room/leave_room/", **room)).ok()
    await invite(host, await api.user("carl", 1))
    (await host.post("qlive_room/live_end/", **room)).ok()
    (await bert.get("qlive_user/logout/")).ok()
    assert without_key == []


async def use_lists(host: ApiClient, anna: ApiClient, bert: ApiClient) -> None:
    """Read what a phone shows before and beside a live."""
    room = {"live_id": host.live_id}
    (await anna.api.log_in("anna")).ok()
    (await anna.get("get_livelist/")).ok()
    (await anna.get("qlive_user/get_userinfo/")).ok()
    (await anna.get("qlive_user/get_userinfo/", user_id=host.id)).ok()
    (await anna.get("qlive_user/get_user_state/")).ok()
    (await bert.get("qlive_follow/")).ok()
    (await host.get("qlive_user/get_users_info/", **room, gender=1)).ok()
    (await host.get("qlive_room/lives/")).ok()
    (await host.get("qlive_room/rank/", **room)).ok()
    (await host.get("qlive_gift/")).ok()


async def invite(host: ApiClient, friend: ApiClient) -> None:
    """Let a friend into a private live by a ticket."""
    room = {"live_id": host.live_id}
    (await host.post("qlive_room/update_room/", **room, visibility="private")).ok()
    ticket = (await host.post("qlive_room/invitation/", **room, by="link")).ok()["ticket"]
    (await host.get("qlive_room/invitation/", **room)).ok()
    (await friend.get("get_playurl/", ticket=ticket)).ok()
