"""Gifts over real processes, at a small size: what was acknowledged is in the book, once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.audit import audit
from chaos.play import Play
from chaos.scenarios import gold, once
from chaos.scene import Size
from chaos.story import Faults
from server import Server
from tests.handlers.test_gifts import CANDY, give
from tests.phones import Street

pytestmark = [pytest.mark.programs, pytest.mark.linux]


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_a_request_from_everywhere_at_once_has_one_effect_and_equal_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "TIMES", 20)
    size = Size(clients=8, rooms=2, processes=2, favours=False, walkers=False)
    report = await once.once(Play(folder, size, seconds=1))
    assert report.kept, report.line()
    assert (report.figures["given"], report.figures["booked"]) == (10, 10)


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_nobody_who_has_gold_is_refused_while_mongodb_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gold, "PER_SECOND", 30)
    monkeypatch.setattr(gold, "EVERY_SECONDS", 2.0)
    monkeypatch.setattr(gold, "DEAD_SECONDS", 0.5)
    size = Size(clients=8, rooms=2, processes=1, favours=False, walkers=False)
    report = await gold.gold(Play(folder, size, seconds=4))
    assert not report.faults, report.line()
    assert report.figures["kills"] > 0
    assert report.figures["given"] == report.figures["booked"] > 40


@pytest.mark.gen_test(timeout=60)
async def test_a_gift_that_the_book_lacks_and_a_purse_that_is_wrong_are_found(
    street: Street, server: Server, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.audit.uri_of", lambda _port: mongo_uri)
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    (await give(anna, bert.id, CANDY, request_id="one")).ok()
    fleet = SimpleNamespace(
        mongod=SimpleNamespace(port=0), database=server.settings.mongodb.database
    )
    scene: Any = SimpleNamespace(fleet=fleet, faults=Faults())
    assert await audit(scene, {"one": anna.id}) == 1
    assert not scene.faults
    users = server.parts.database.collection("users")
    await users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    await audit(scene, {"one": anna.id, "two": anna.id})
    assert scene.faults.counts == {"ledger": 1, "gift_lost": 1}
