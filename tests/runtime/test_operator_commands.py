import re
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from core.errors import TryAgain
from runtime import container
from runtime.process import ServerProcess
from server import parse
from services.operators.operators import STEP_SECONDS, code_of
from storage.errors import OperatorNotFound
from storage.operators.audit import AuditStore
from storage.operators.operators import DEMO, OperatorAccount

Configured = tuple[Settings, Any]


async def operator(settings: Configured, *arguments: str) -> int:
    args = parse(["operator", *arguments])
    status: int = await args.run(*settings, args)
    return status


@pytest.mark.gen_test(timeout=30)
async def test_an_operator_is_added_listed_reset_disabled_and_enabled(
    settings: Configured,
    server: ServerProcess,
    db: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def printed(*arguments: str) -> str:
        with capture_logs():  # else they are printed
            assert await operator(settings, *arguments) == 0
        return capsys.readouterr().out

    def one_time(text: str) -> str:
        found = re.search(r"One-time password of anna: (\S{16})\n", text)
        assert found, text
        return found[1]

    operators = server.context.services.operators
    assert "There are no operators" in await printed("list")
    first = one_time(await printed("add", "anna", "--role", "viewer"))
    assert re.fullmatch(
        r"anna +viewer +waits for first login +never logged in\n", await printed("list")
    )
    second = one_time(await printed("reset", "anna"))
    assert first != second
    factor = await operators.second_factor("anna", second)
    code = code_of(factor.secret, int(time.time()) // STEP_SECONDS)
    login = await operators.first_log_in("anna", second, "correct horse battery", code)
    assert await printed("role", "anna", "finance") == "anna is now finance.\n"
    assert await operators.operator_of(login.token, in_use=True) == ("anna", "finance")
    assert re.fullmatch(r"anna +finance +active +last login 20\d\d-.* UTC\n", await printed("list"))
    assert "can no longer log in" in await printed("disable", "anna")
    assert await operators.operator_of(login.token, in_use=True) is None
    assert "disabled" in await printed("list")
    assert await printed("enable", "anna") == "anna can log in.\n"
    audited = [(row["who"], row["what"], row["on"], row["done"]) for row in db.audit.find()]
    actions = ("add", "reset", "role", "disable", "enable")
    assert audited == [("command line", f"operator {it}", "anna", True) for it in actions]
    with pytest.raises(OperatorNotFound):
        await operator(settings, "reset", "bert")


@pytest.mark.gen_test(timeout=30)
async def test_a_one_time_password_is_printed_although_its_outcome_cannot_be_audited(
    settings: Configured, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any) -> None:
        raise TryAgain

    monkeypatch.setattr(AuditStore, "done", unavailable)
    with pytest.raises(TryAgain):
        await operator(settings, "add", "anna", "--role", "viewer")
    assert "One-time password of anna: " in capsys.readouterr().out


@pytest.mark.gen_test(timeout=30)
async def test_production_refuses_the_demo_operator(settings: Configured) -> None:
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


@pytest.mark.parametrize(
    "name",
    [
        *("Anna", "a", "1anna", "anna anna", "a" * 33, "ops.token", "demo"),
        *("user", "wechat", "refund_case", "jsapi", "xpay"),
    ],
)
def test_an_invalid_or_reserved_name_is_a_wrong_argument(name: str) -> None:
    with pytest.raises(SystemExit):
        parse(["operator", "add", name, "--role", "viewer"])
