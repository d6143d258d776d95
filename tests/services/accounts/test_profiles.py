from datetime import UTC, datetime
from typing import Any

from services.accounts.profiles import ProfileService
from services.keeper import Keeper
from tests.support.keeper import RecordingListener
from tests.support.storage import StoresFixture


async def test_profile_changes_that_wait_are_one_message_to_im(stores: StoresFixture) -> None:
    listener: Any = RecordingListener()
    profiles = ProfileService(stores, Keeper(stores.rooms, listener), listener)
    user, _ = await stores.users.create("app", "anna", nickname="anna")
    for nickname in ("anna", "ann", "annie"):
        user = await profiles.update(user, nickname=nickname)
    now = datetime.now(UTC)
    (message,) = await stores.outbox.claim(now, now, 10)
    assert (message.kind, message.payload) == ("portrait_set", {"user_id": user.user_id})
