"""What the scenarios of gifts judge: conflicting responses, missing charges, rejected gifts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.http_client import ApiResponse
from chaos.run import GOLD, RunSize
from chaos.scenario import RunConfig
from chaos.scenarios import once
from chaos.scenarios.gold import GiftLoad
from chaos.scenarios.once import _all_succeeded
from chaos.violations import Violations


def given(gold: int = GOLD - 5) -> ApiResponse:
    return ApiResponse(200, {"status": "success", "gold": gold})


REJECTED = ApiResponse(200, {"status": "insufficient_gold", "gold": 0})


@pytest.mark.parametrize(
    ("responses", "succeeded", "found"),
    [
        ([given(), given()], True, {}),
        ([given(), given(GOLD - 10)], False, {"conflicting_responses": 1}),
        ([REJECTED, REJECTED], False, {"conflicting_responses": 1}),
        ([ApiResponse(503)] * 2, False, {"conflicting_responses": 1}),
        ([given(GOLD)] * 2, True, {"not_charged": 1}),
    ],
)
def test_copies_of_a_request_must_have_equal_responses_and_be_charged(
    responses: list[ApiResponse], succeeded: bool, found: dict[str, int]
) -> None:
    run: Any = SimpleNamespace(violations=Violations())
    assert _all_succeeded(run, "one", responses) == succeeded
    assert run.violations.counts == found


@pytest.mark.gen_test
async def test_a_gift_that_is_rejected_although_it_is_covered_is_a_violation() -> None:
    run: Any = SimpleNamespace(violations=Violations(), rooms=[])
    room: Any = SimpleNamespace(host=SimpleNamespace(id="1"), record=lambda *_: None)
    load = GiftLoad(run)
    for number, response in enumerate([given(), ApiResponse(503), REJECTED]):

        async def get(*_: Any, response: ApiResponse = response, **__: Any) -> ApiResponse:
            return response

        giver: Any = SimpleNamespace(id="2", get=get)
        await load._give(room, giver, f"gift{number}")
    assert load.acknowledged == {"gift0": "2"}
    assert load.outcomes == {"success": 1, "503": 1, "rejected": 1}
    assert run.violations.counts == {"gift_rejected": 1}


@pytest.mark.programs
@pytest.mark.linux
@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_concurrent_copies_of_a_request_have_one_effect_and_equal_responses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "REQUESTS_PER_ID", 20)
    size = RunSize(clients=8, rooms=2, processes=2, gifts_and_renames=False, rejoins=False)
    report = await once.once(RunConfig(folder, size, seconds=1))
    assert report.passed, report.line()
    assert (report.metrics["gifts_acknowledged"], report.metrics["gifts_booked"]) == (10, 10)
