import argparse
import re
import socket
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from config.settings import Settings
from core.errors import StartupError
from runtime import commands
from server import parse
from services.gold.ledger import LedgerService
from storage import stores
from storage.database import Database
from storage.errors import UserNotFound
from storage.migrations import MIGRATIONS, SCHEMA, Migration, Migrator
from tests.support.api import ApiFixture

Configured = tuple[Settings, Any]


def grant_args(*more: str) -> argparse.Namespace:
    return parse(["grant", *more, "--reason", "test"])


@pytest.mark.gen_test(timeout=20)
async def test_a_grant_that_failed_is_repeated_once_with_the_id_that_was_printed(
    api: ApiFixture,
    settings: Configured,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    anna = await api.user("anna", 2)
    original = LedgerService.grant

    async def grant_without_answer(*args: Any, **more: Any) -> Any:
        await original(*args, **more)
        raise AutoReconnect

    with monkeypatch.context() as patch:
        patch.setattr(LedgerService, "grant", grant_without_answer)
        with pytest.raises(AutoReconnect):
            await commands.run(*settings, grant_args(anna.id, "70"))
    printed = re.search(r"--request-id ([0-9a-f]{32})", capsys.readouterr().err)
    assert printed
    for _ in range(2):
        repeated = grant_args(anna.id, "70", "--request-id", printed[1])
        assert await commands.run(*settings, repeated) == 0
        assert "now has 70 gold" in capsys.readouterr().out
    assert db.users.find_one({"_id": anna.id})["gold"] == 70
    assert db.ledger.count_documents({"kind": "grant", "by": "command line"}) == 1
    entries = [(row["who"], row["what"], row["address"]) for row in db.audit.find()]
    assert entries == [("command line", "grant", commands.invoker())] * 3
    assert db.audit.count_documents({"done": True}) == 2


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("check-ledger", "Every unit of gold and income is accounted for.\n"),
        ("rebuild-ranks", "Every ranking matches the ledger.\n"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_command_that_finds_nothing_wrong_says_so(
    api: ApiFixture,
    settings: Configured,
    capsys: pytest.CaptureFixture[str],
    command: str,
    result: str,
) -> None:
    await api.user("anna", 2, gold=70)
    capsys.readouterr()
    args = parse([command])
    assert await args.run(*settings, args) == 0
    assert capsys.readouterr().out.endswith(result)


@pytest.mark.gen_test(timeout=20)
async def test_a_change_of_a_matchmaker_is_audited_with_the_user_of_the_system(
    api: ApiFixture,
    settings: Configured,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    anna = await api.user("anna", 2)
    reply = await anna.post("qlive_room/matchmaker_enter/")
    assert reply.refusal == (403, "not_matchmaker")
    monkeypatch.setenv("SUDO_USER", "olga")
    args = parse(["matchmaker", anna.id])
    assert await args.run(*settings, args) == 0
    assert capsys.readouterr().out.endswith(f"{anna.id} is now a matchmaker.\n")
    assert (await anna.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
    [entry] = db.audit.find()
    assert (entry["what"], entry["on"], entry["who"]) == ("matchmaker", anna.id, "command line")
    assert entry["address"] == f"olga@{socket.gethostname()}"[:64]
    changed = ('{"is_matchmaker": false}', '{"is_matchmaker": true}')
    assert (entry["before"], entry["after"]) == changed


def test_the_invoker_without_sudo_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "rita")
    assert commands.invoker().startswith("rita@")


@pytest.mark.parametrize(
    "arguments",
    [
        ("grant", "10000000", "5", "--reason", "nobody"),
        ("matchmaker", "10000000"),
        ("matchmaker", "10000000", "--off"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_command_for_an_unknown_user_is_refused_in_one_line(
    settings: Configured, arguments: tuple[str, ...]
) -> None:
    args = parse([*arguments])
    with pytest.raises(UserNotFound) as refused:
        await args.run(*settings, args)
    assert len(str(refused.value).splitlines()) == 1


def test_a_grant_of_no_gold_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        grant_args("10000000", "0")
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("error: argument gold: GOLD must be at least 1.\n")


def test_an_empty_or_long_request_id_is_a_wrong_argument() -> None:
    for invalid in ("", "x" * 65):
        with pytest.raises(SystemExit):
            grant_args("10000000", "5", "--request-id", invalid)


# ---- schema


@pytest.mark.gen_test(timeout=20)
async def test_migrate_prints_what_it_applied(
    settings: Configured,
    mongo: MongoClient[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def apply(_database: Database) -> int:
        return 3

    args = parse(["migrate"])
    ready = f"The database is ready for servers of schema {SCHEMA}.\n"
    assert await args.run(*settings, args) == 0
    assert capsys.readouterr().out == ready
    steps = [*MIGRATIONS, Migration(SCHEMA + 1, "made_up", apply, oldest=1)]
    monkeypatch.setattr(stores, "Migrator", partial(Migrator, migrations=steps))
    assert await args.run(*settings, args) == 0
    applied = f"Applied migration {SCHEMA + 1} (made_up): 3 documents changed.\n"
    assert capsys.readouterr().out.endswith(applied + ready)
    mongo[settings[0].mongodb.database].schema.delete_many({})


@pytest.mark.gen_test(timeout=20)
async def test_no_command_runs_on_a_schema_that_excludes_it(
    settings: Configured, mongo: MongoClient[Any]
) -> None:
    name = "qlive_test_newer_schema"
    mongo.drop_database(name)
    newer = {"_id": "schema", "version": SCHEMA + 2, "oldest": SCHEMA + 1}
    mongo[name].schema.insert_one(newer)
    mongodb = settings[0].mongodb.model_copy(update={"database": name})
    own = settings[0].model_copy(update={"mongodb": mongodb}), settings[1]
    with pytest.raises(StartupError, match="start a newer release"):
        await commands.run(*own, parse(["check-ledger"]))
    assert mongo[name].list_collection_names() == ["schema"]
    assert mongo[name].schema.find_one() == newer
    mongo.drop_database(name)
