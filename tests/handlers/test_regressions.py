"""What the earlier backend got wrong, by its number in the list of semantics."""

import asyncio
import re
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from devsecrets import DevSecrets, fill
from server import Server
from setting_sections import Section
from settings import Settings, load
from tests.handlers.waiting import until
from tests.phones import Phone, Street

ROOT = Path(__file__).parents[2]


async def sit(phone: Phone) -> None:
    (await phone.post("qlive_room/apply_micro/", live_id=phone.live_id)).ok()
    (await phone.post("qlive_room/accept_micro/", live_id=phone.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_1_nobody_ends_anothers_live_or_takes_anybody_off_the_mic(street: Street) -> None:
    host, other = await street.host(), await street.host("other")
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    await sit(anna)
    for stranger in (bert, other):
        here = {"live_id": host.live_id}
        ended = await stranger.post("qlive_room/live_end/", **here)
        assert ended.refusal == (403, "not_host")
        taken = await stranger.get("qlive_room/leave_micro/", **here, user_id=anna.id, gender=2)
        assert taken.refusal == (403, "not_host")
    seen = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert seen["female"]["user_id"] == anna.id


@pytest.mark.gen_test(timeout=20)
async def test_2_nobody_gets_anothers_user_sig(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    await sit(anna)
    own = (await anna.get("qlive_user/get_userinfo/")).ok()["user_sig"]
    here = {"live_id": host.live_id}
    heard = [
        await bert.get("qlive_user/get_userinfo/", user_id=anna.id),
        await bert.get("get_playurl/", **here),
        await bert.get("qlive_user/get_users_info/", **here, gender=2),
        await bert.get("get_livelist/"),
    ]
    assert heard[0].ok()["user_sig"] == ""
    for reply in heard:
        assert own not in reply.text
        assert own[:20] not in reply.text


@pytest.mark.gen_test(timeout=30)
async def test_3_of_many_who_accept_at_once_one_sits(street: Street) -> None:
    host = await street.host()
    men = [await street.guest(f"man{n}", 1, host.live_id) for n in range(10)]
    for man in men:
        (await man.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    answers = await asyncio.gather(
        *(man.post("qlive_room/accept_micro/", live_id=host.live_id) for man in men)
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    seen = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    seated = next(answer for answer in answers if answer.status == 200).json
    assert seen["male"]["user_id"] == seated["user_id"]
    assert seen["num_list"] == [9, 10, 0, 0]


@pytest.mark.gen_test(timeout=30)
async def test_3_two_gifts_at_once_cost_two(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    gift = {"user_id": bert.id, "gift_id": 1, "num": 1}
    await asyncio.gather(*(anna.get("qlive_gift/push_gift/", **gift) for _ in range(20)))
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 80


@pytest.mark.gen_test(timeout=20)
async def test_5_a_like_is_in_the_database_once_it_is_answered(street: Street, db: Any) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    for _ in range(2):
        (await anna.post("qlive_like/", user_id=bert.id, like_state=1)).ok()
        liked = list(db.likes.find({"by": anna.id, "of": bert.id}))
        assert len(liked) == 1


@pytest.mark.gen_test(timeout=20)
async def test_7_a_slow_im_slows_neither_the_mic_nor_a_new_face(
    street: Street, server: Server
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    await street.outage("im", seconds=2)
    began = time.monotonic()
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    await sit(anna)
    (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await street.person("new", 1)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert time.monotonic() - began < 2
    await street.outage("im")
    assert server.parts.simulator
    accounts = server.parts.simulator.im.accounts

    async def caught_up() -> bool:
        return accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == "安娜"

    await until(caught_up)


def sources() -> list[Path]:
    """The files of the project itself, tests and what they read left out."""
    kinds = {".py", ".yaml", ".yml", ".toml", ".md", ".js", ".json", ".html", ".sh", ".txt"}
    apart = {"tests", "var", "node_modules"}
    files = [path for path in ROOT.rglob("*") if path.suffix in kinds and path.is_file()]
    parts = [(path, path.relative_to(ROOT).parts) for path in files]
    return [
        path
        for path, names in parts
        if not apart & set(names) and not any(name.startswith(".") for name in names)
    ]


PUBLIC = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"}
"""The GUID of RFC 6455, section 1.3, with which a WebSocket's handshake is answered."""
LONG = re.compile(r"""["']([A-Za-z0-9+/=_-]{20,})["']""")


def _is_chance(word: str) -> bool:
    """Whether a quoted text reads like a key: digits and letters mixed through and through."""
    turns = re.findall(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])", word)
    return len(turns) >= 5 and word not in PUBLIC


def test_8_a_key_would_be_recognised() -> None:
    assert all(_is_chance(secrets.token_hex(20)) for _ in range(100))
    assert not any(map(_is_chance, ("WECHATPAY2-SHA256-RSA2048", "wx0123456789abcdef")))


def test_8_no_key_and_no_password_stands_in_the_source() -> None:
    found = []
    files = sources()
    for path in files:
        text = path.read_text()
        if "-----BEGIN" in text:
            found.append(f"{path}: a PEM block")
        found += [f"{path.name}: {word}" for word in LONG.findall(text) if _is_chance(word)]
    assert ROOT / "settings.yaml" in files
    assert ROOT / "tencent" / "im.py" in files
    assert found == []


def test_8_the_settings_that_come_with_the_source_hold_no_secret() -> None:
    settings = load(ROOT / "settings.yaml", {})
    held = []
    sections = [getattr(settings, name) for name in type(settings).model_fields]
    apps = list(settings.wechat.apps.values())
    for section in [one for one in sections if isinstance(one, Section)] + apps:
        hidden = [name for name, field in type(section).model_fields.items() if not field.repr]
        held += [(name, getattr(section, name)) for name in hidden]
    assert {name for name, _ in held} > {"secret", "secret_key", "private_key", "token", "uri"}
    assert [name for name, value in held if value] == []


def test_8_two_laptops_make_up_different_secrets(
    settings: tuple[Settings, DevSecrets], tmp_path: Path
) -> None:
    other, _ = fill(Settings.model_validate({}), tmp_path / "dev-secrets.json")
    for section, name in (("ops", "token"), ("live", "push_key"), ("im", "secret_key")):
        mine, theirs = (getattr(getattr(one, section), name) for one in (settings[0], other))
        assert mine
        assert mine != theirs
