import pytest

import demo
from server import Server
from tests.phones import Street


@pytest.fixture
def demo_people() -> bool:
    return True


@pytest.mark.gen_test(timeout=20)
async def test_the_pictures_of_the_demo_move_with_the_address_and_nobody_elses_do(
    street: Street, server: Server
) -> None:
    parts = server.parts
    anna = await street.person("anna", 2)
    own = {"face_url": "https://example.com/anna.png"}
    (await anna.post("qlive_user/update_userinfo/", **own)).ok()
    moved = "https://qlive.example.com"
    app_id = next(iter(server.settings.wechat.apps))
    await demo.plant(parts.users, parts.gifts, parts.blocks, parts.errand_store, app_id, moved)
    gifts = await parts.gifts.all()
    assert len(gifts) == len(demo.GIFTS)
    assert all(gift["image"].startswith(f"{moved}/static/gifts/") for gift in gifts)
    people = await parts.users.search("", "", 100, owing=False)
    faces = {user.nickname: user.face_url for user in people}
    assert len(faces) == len(demo.MATCHMAKERS + demo.MEN + demo.WOMEN) + 1
    assert faces.pop("anna") == own["face_url"]
    assert all(face.startswith(f"{moved}/static/faces/") for face in faces.values())


@pytest.mark.gen_test(timeout=20)
async def test_every_picture_of_the_demo_is_served(street: Street, server: Server) -> None:
    pictures = [gift["image"] for gift in await server.parts.gifts.all()]
    pictures += [
        user.face_url for user in await server.parts.users.search("", "", 100, owing=False)
    ]
    for picture in pictures:
        answer = await street.ask("GET", picture.removeprefix(server.address))
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "image/svg+xml"
