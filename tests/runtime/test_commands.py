"""Operators' commands, each in this process, and the failures that end one."""

import re
import socket
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError
from structlog.testing import capture_logs

import server as program
from config.settings import Settings
from core.clock import day_interval, day_of
from core.errors import StartupError, TryAgain
from runtime import commands, container
from server import parse
from services.gold.ledger import LedgerService
from storage import stores
from storage.errors import OperatorNotFound, UserNotFound
from storage.migrations import MIGRATIONS, SCHEMA, Migration, Migrator
from storage.operators.audit import AuditStore
from storage.operators.operators import DEMO, OperatorAccount
from tests.support.operators import PASSWORD, code_now
from tests.support.payments import create_order, notification_statuses, pay_order


@pytest.fixture
def run(settings, capsys):
    """Runs a command that succeeds; returns what it has printed."""

    async def run_command(*arguments: str) -> str:
        args = parse([*arguments])
        with capture_logs():  # else they are printed
            assert await args.run(*settings, args) == 0
        return capsys.readouterr().out

    return run_command


async def test_a_grant_that_failed_is_repeated_once_with_the_id_that_was_printed(
    api, settings, db, run, monkeypatch, capsys
):
    anna = await api.user("anna", 2)
    original = LedgerService.grant
    grant = ("grant", anna.id, "70", "--reason", "test")

    async def grant_without_answer(*args: Any, **more: Any) -> Any:
        await original(*args, **more)
        raise AutoReconnect

    with monkeypatch.context() as patch:
        patch.setattr(LedgerService, "grant", grant_without_answer)
        with pytest.raises(AutoReconnect):
            await commands.run(*settings, parse([*grant]))
    printed = re.search(r"--request-id ([0-9a-f]{32})", capsys.readouterr().err)
    for _ in range(2):
        assert "now has 70 gold" in await run(*grant, "--request-id", printed[1])
    assert db.users.find_one({"_id": anna.id})["gold"] == 70
    assert db.ledger.count_documents({"kind": "grant", "by": "command line"}) == 1
    entries = [(row["who"], row["what"], row["address"]) for row in db.audit.find()]
    assert entries == [("command line", "grant", commands.invoker())] * 3
    assert db.audit.count_documents({"done": True}) == 2


async def test_a_command_that_finds_nothing_wrong_says_so(api, run):
    await api.user("anna", 2, gold=70)
    for command, result in {
        "check-ledger": "Every unit of gold and income is accounted for.\n",
        "rebuild-ranks": "Every ranking matches the ledger.\n",
    }.items():
        assert (await run(command)).endswith(result)


async def test_a_change_of_a_matchmaker_is_audited_with_the_user_of_the_system(
    api, db, run, monkeypatch
):
    anna = await api.user("anna", 2)
    reply = await anna.post("qlive_room/matchmaker_enter/")
    assert reply.refusal == (403, "not_matchmaker")
    monkeypatch.setenv("SUDO_USER", "olga")
    assert (await run("matchmaker", anna.id)).endswith(f"{anna.id} is now a matchmaker.\n")
    assert (await anna.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
    [entry] = db.audit.find()
    assert (entry["what"], entry["on"], entry["who"]) == ("matchmaker", anna.id, "command line")
    assert entry["address"] == f"olga@{socket.gethostname()}"[:64]
    changed = ('{"is_matchmaker": false}', '{"is_matchmaker": true}')
    assert (entry["before"], entry["after"]) == changed


GRANT = ("grant", "10000000", "5", "--reason", "test")
ADD = ("operator", "add")


@pytest.mark.parametrize(
    "arguments",
    [
        (*GRANT[:2], "0", *GRANT[3:]),
        (*GRANT, "--request-id", ""),
        (*GRANT, "--request-id", "x" * 65),
        *(
            (*ADD, name, "--role", "viewer")
            for name in ("Anna", "a", "1anna", "anna anna", "a" * 33)
        ),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_ends_with_status_2_and_a_sentence(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        parse([*arguments])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert "error: argument " in printed.err.splitlines()[-1]


# ---- failures of the program


@pytest.fixture
def main(data_folder, mongo_uri, monkeypatch, capsys):
    """Runs the program in this process; returns its status and the lines of its failure."""
    monkeypatch.setattr(program, "configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("QLIVE_MONGODB__URI", mongo_uri)
    monkeypatch.setenv("QLIVE_MONGODB__DATABASE", "qlive_test_program")
    monkeypatch.setenv("QLIVE_MONGODB__DATA_DIR", str(data_folder / "mongo"))

    def run_program(*arguments: str) -> tuple[int, list[str], list[str]]:
        """The status, the lines printed and those logged."""
        with capture_logs() as logs:
            status = program.main([*arguments])
        printed = capsys.readouterr().err.splitlines()
        logged = [entry["why"] for entry in logs if entry["event"] == "command_failed"]
        for entry in logs:
            logged += entry["problems"] if entry["event"] == "settings_invalid" else []
        return status, printed, logged

    return run_program


def test_a_failed_command_is_one_line_which_is_logged_where_the_log_is_json(main, monkeypatch):
    unknown = str(UserNotFound())
    assert main(*GRANT) == (1, [unknown], [])
    monkeypatch.setenv("QLIVE_LOGGING__JSON", "true")
    assert main(*GRANT) == (1, [], [unknown])


def test_an_unavailable_mongodb_is_one_line(main, monkeypatch):
    monkeypatch.setattr(Migrator, "run", AsyncMock(side_effect=ServerSelectionTimeoutError))
    assert main(*GRANT) == (1, ["MongoDB is unavailable; check mongodb.uri."], [])


def test_unknown_settings_are_logged_outside_a_terminal(main, monkeypatch):
    monkeypatch.setenv("QLIVE_SERVER__PROT", "1")
    assert main() == (2, [], ["QLIVE_SERVER__PROT: unknown setting"])


# ---- schema


async def test_migrate_prints_what_it_applied(settings, mongo, run, monkeypatch):
    async def apply(_database: Any) -> int:
        return 3

    ready = f"The database is ready for servers of schema {SCHEMA}.\n"
    assert await run("migrate") == ready
    steps = [*MIGRATIONS, Migration(SCHEMA + 1, "made_up", apply, oldest=1)]
    monkeypatch.setattr(stores, "Migrator", partial(Migrator, migrations=steps))
    applied = f"Applied migration {SCHEMA + 1} (made_up): 3 documents changed.\n"
    assert (await run("migrate")).endswith(applied + ready)
    mongo[settings[0].mongodb.database].schema.delete_many({})


async def test_no_command_runs_on_a_schema_that_excludes_it(settings, mongo):
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


# ---- operators


async def test_an_operator_is_added_listed_reset_disabled_and_enabled(settings, server, db, run):
    async def operator(*arguments: str) -> str:
        return await run("operator", *arguments)

    def one_time(text: str) -> str:
        return re.search(r"One-time password of anna: (\S{16})\n", text)[1]

    operators = server.context.services.operators.operators
    assert "There are no operators" in await operator("list")
    first = one_time(await operator("add", "anna", "--role", "viewer"))
    waits = r"anna +viewer +waiting +never logged in\n"
    assert re.fullmatch(waits, await operator("list"))
    second = one_time(await operator("reset", "anna"))
    assert first != second
    factor = await operators.second_factor("anna", second)
    await operators.first_log_in("anna", second, PASSWORD, code_now(factor.secret))
    assert await operator("role", "anna", "finance") == "anna is now finance.\n"
    active = r"anna +finance +active +last login 20\d\d-.* UTC\n"
    assert re.fullmatch(active, await operator("list"))
    assert "can no longer log in" in await operator("disable", "anna")
    assert "disabled" in await operator("list")
    assert await operator("enable", "anna") == "anna can log in.\n"
    audited = [(row["who"], row["what"], row["on"], row["done"]) for row in db.audit.find()]
    actions = ("add", "reset", "role", "disable", "enable")
    assert audited == [("command line", f"operator {name}", "anna", True) for name in actions]
    with pytest.raises(OperatorNotFound):
        await operator("reset", "bert")


async def test_a_one_time_password_is_printed_although_its_outcome_cannot_be_audited(
    settings, capsys, monkeypatch
):
    async def unavailable(*_: Any) -> None:
        raise TryAgain

    monkeypatch.setattr(AuditStore, "done", unavailable)
    args = parse([*ADD, "anna", "--role", "viewer"])
    with pytest.raises(TryAgain):
        await args.run(*settings, args)
    assert "One-time password of anna: " in capsys.readouterr().out


async def test_production_refuses_the_demo_operator(settings):
    development, _ = settings
    production = development.model_copy(update={"environment": "production"})
    refused = []
    for own in (development, production):
        context = container.build(own, own.mongodb.uri, "https://live.qlive.cn")
        operators = context.stores.operators
        if own is development:
            await operators.add(OperatorAccount(DEMO, "admin", "-", "", "credential", None))
        refused.append((await operators.get(DEMO)).disabled)
        await container.close(context)
    assert refused == [False, True]


async def test_bills_of_a_day_are_compared_and_differences_listed(
    api, server, settings, db, run, capsys
):
    anna, today = await api.user("anna", 2), day_of(datetime.now(UTC))
    await pay_order(api, await create_order(anna))
    await notification_statuses(server)
    [base, dev], address = settings, f"{server.address}/sim"
    sections = {
        name: getattr(base, name).model_copy(update={"api_base": address})
        for name in ("pay", "wechat")
    }
    at_simulator = base.model_copy(update=sections)

    async def reconcile(settings: Settings, period: str) -> tuple[int, str]:
        with capture_logs():
            args = parse(["reconcile", period])
            capsys.readouterr()
            return await args.run(settings, dev, args), capsys.readouterr().out

    yesterday = str(today - timedelta(days=1))
    month = f"{today.replace(day=1) - timedelta(1):%Y-%m}"
    agreed = "Every row of WeChat's bills is recorded here, and the reverse.\n"
    for period in (yesterday, month):
        assert await reconcile(at_simulator, period) == (0, agreed)
    noon = day_interval(today)[0] - timedelta(hours=12)
    order = db.orders.find_one_and_update({}, {"$set": {"paid_at": noon}})
    line = f"missing_there: payment {order['_id']}, None fen there, 600 fen here\n"
    assert await reconcile(at_simulator, yesterday) == (1, line)
    nothing = base.pay.model_copy(update={"private_key": "", "offer_id": ""})
    assert await reconcile(base.model_copy(update={"pay": nothing}), yesterday) == (2, "")


@pytest.mark.parametrize("date", ["2026-13-01", "2026-1-1", "20261127", "9999-01-01", "today"])
def test_bills_need_a_day_or_month_that_has_ended(date, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(["reconcile", date])
    assert exit_.value.code == 2
    assert "has ended" in capsys.readouterr().err
