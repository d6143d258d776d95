"""The documents that the benchmarks write to MongoDB, and their servers' settings, are valid."""

from bench import before_send
from bench.calls.case import CHECKS_OFF, CHECKS_ON, GIVING_ON
from bench.fixtures import (
    age_tokens,
    block_users,
    create_live_rooms,
    create_viewers,
    disconnect_members,
    mute_users,
)
from bench.joins import storm
from config.settings import Settings
from tests.support.storage import NAME


async def test_a_live_room_and_its_viewer_are_read_as_those_of_the_server(stores, mongo_uri):
    (room,) = await create_live_rooms(mongo_uri, NAME, 1)
    (token,) = await create_viewers(mongo_uri, NAME, [room])
    await disconnect_members(mongo_uri, NAME)
    await age_tokens(mongo_uri, NAME)
    await block_users(mongo_uri, NAME)
    await mute_users(mongo_uri, NAME, ["10000001"])
    viewer = await stores.tokens.user_of(token)
    assert viewer
    assert viewer.has_blocks
    loaded = await stores.rooms.load(room.live_id, [viewer.user_id])
    assert loaded
    assert loaded.live
    assert loaded.muted
    assert loaded.role_of(viewer.user_id) == "viewer"
    [event] = await stores.rooms.log_since(room.live_id, room.epoch, room.version - 1) or []
    assert event.type == "profile"


def test_the_servers_of_the_benchmarks_accept_their_settings():
    checks = ({"moderation": checked} for checked in (CHECKS_ON, CHECKS_OFF))
    for settings in (*checks, GIVING_ON, storm.SETTINGS, before_send.SETTINGS):
        Settings.model_validate(settings)
    assert not Settings.model_validate(storm.SETTINGS).limits.factor
