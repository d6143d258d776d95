from typing import Any

import pytest

from devtools import demo
from runtime.process import ServerProcess
from tests.support.api import ApiFixture


@pytest.fixture
def demo_users() -> bool:
    return True


async def test_demo_pictures_are_served_and_follow_the_public_url_unlike_those_of_other_users(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server.context
    pictures = [gift["image"] for gift in await context.stores.gifts.all()]
    pictures += [
        user.face_url for user in await context.stores.users.search("", "", 100, owing=False)
    ]
    for picture in pictures:
        reply = await api.request("GET", picture.removeprefix(server.address))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "image/svg+xml")
    anna = await api.user("anna", 2)
    custom = {"face_url": "https://example.com/anna.png"}
    (await anna.post("qlive_user/update_userinfo/", **custom)).ok()
    public_url = "https://qlive.example.com"
    address = context.settings.server.model_copy(update={"public_url": public_url})
    moved = context.settings.model_copy(update={"server": address})
    monkeypatch.setattr(context, "settings", moved)
    await demo.store_demo_data(context)
    gifts = await context.stores.gifts.all()
    assert len(gifts) == len(demo.GIFTS)
    assert all(gift["image"].startswith(f"{public_url}/static/gifts/") for gift in gifts)
    users = await context.stores.users.search("", "", 100, owing=False)
    faces = {user.nickname: user.face_url for user in users}
    assert len(faces) == len(demo.MATCHMAKERS + demo.MEN + demo.WOMEN) + 1
    assert faces.pop("anna") == custom["face_url"]
    assert all(face.startswith(f"{public_url}/static/faces/") for face in faces.values())


async def test_demo_data_of_a_killed_start_are_completed_and_deleted_ones_stay_deleted(
    server: ServerProcess, db: Any
) -> None:
    async def start() -> tuple[list[str], list[int]]:
        await demo.store_demo_data(server.context)
        gifts = [row["name"] for row in await server.context.stores.gifts.all()]
        return gifts, [row["fen"] for row in await server.context.stores.blocks.all()]

    for name, stored in (("gifts", 4), ("blocks", 2)):
        db[name].delete_many({"_id": {"$gt": stored}})
        db.counters.delete_one({"_id": name})
    everything = [gift[0] for gift in demo.GIFTS], [fen for _, fen in demo.BLOCKS]
    assert await start() == everything
    await server.context.stores.gifts.remove(1)
    await server.context.stores.blocks.remove(2)
    assert await start() == (everything[0][1:], everything[1][:1] + everything[1][2:])
