import pytest

from tests.support.api import ApiFixture


@pytest.mark.gen_test(timeout=20)
async def test_like_is_stored_until_withdrawn(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}
    liked = await anna.post("qlive_like/", user_id=bert.id, like_state=1)
    assert liked.ok() == {"detail": "ok"}
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 1}
    assert (await bert.get("qlive_like/", user_id=anna.id)).ok() == {"like_state": 0}
    (await anna.post("qlive_like/", user_id=bert.id, like_state="0")).ok()
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}


@pytest.mark.gen_test(timeout=20)
async def test_liking_oneself_or_an_unknown_user_is_rejected(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    to_self = await anna.post("qlive_like/", user_id=anna.id, like_state=1)
    assert to_self.refusal == (400, "bad_parameter")
    assert to_self.json["fields"].keys() == {"user_id"}
    to_unknown = await anna.post("qlive_like/", user_id="10000000", like_state=1)
    assert to_unknown.refusal == (404, "no_such_user")
    assert (await anna.get("qlive_like/", user_id="10000000")).refusal == (404, "no_such_user")
    assert (await anna.get("qlive_like/", user_id=anna.id)).refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_like_state_must_be_0_or_1(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    for invalid in (2, -1, "yes", "", 0.5):
        reply = await anna.post("qlive_like/", user_id=bert.id, like_state=invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {"like_state"}
    assert (await anna.get("qlive_like/", user_id=bert.id)).ok() == {"like_state": 0}
