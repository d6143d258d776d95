"""The declaration of the switches, and what is known of each."""

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.doctor import cloud, cos, im, merchant, wechat
from services.doctor.arrivals import KINDS
from services.doctor.findings import Finding, Verdict
from services.doctor.switches import CONSOLES, SWITCHES, Checks, Switch, SwitchState, state_of
from tests.support.paths import ROOT

RUN_AT = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE, AFTER = RUN_AT - timedelta(hours=1), RUN_AT + timedelta(hours=1)
CHECKS = {
    *(*wechat.CHECKS, *merchant.CHECKS, *im.CHECKS, *cloud.LIVE_CHECKS, *cos.CHECKS),
}
CHECKED, CALLED, BOTH, NEITHER = (
    Switch("a", "IM", "路径", "on", "why", "what breaks", "后果", checks, arrivals)
    for checks, arrivals in ((["x", "y"], []), ([], ["im:"]), (["x"], ["im:"]), ([], []))
)


def test_every_switch_is_told_apart_and_names_checks_and_callbacks_that_exist() -> None:
    assert len({switch.name for switch in SWITCHES}) == len(SWITCHES)
    assert {switch.console for switch in SWITCHES} == CONSOLES.keys()
    for switch in SWITCHES:
        assert {*switch.checks} <= CHECKS, switch.name
        for beginning in switch.arrivals:
            assert any(kind.startswith(beginning) for kind in KINDS), (switch.name, beginning)
        texts = (switch.path, switch.value, switch.why, switch.without, switch.zh)
        assert all(isinstance(text, str) and text for text in texts), switch.name
        assert "|" not in "".join(texts), switch.name


def test_every_check_of_the_consoles_and_every_kind_of_callback_is_that_of_a_switch() -> None:
    assert {name for switch in SWITCHES for name in switch.checks} == CHECKS
    own = {beginning for switch in SWITCHES for beginning in switch.arrivals} - {"push:", "im:"}
    others = {kind for kind in KINDS if not kind.startswith(tuple(own))}
    assert others == {"push:wxa_media_check"}  # nothing to subscribe to


@pytest.mark.parametrize(
    ("switch", "verdicts", "last_at", "state"),
    [
        (CHECKED, {}, None, "cannot be told"),
        (CHECKED, {"x": "right", "y": "right"}, None, "right"),
        (CHECKED, {"x": "right", "y": "not used"}, None, "right"),
        (CHECKED, {"x": "right", "y": "cannot be told"}, None, "cannot be told"),
        (CHECKED, {"x": "right", "y": "wrong"}, None, "wrong"),
        (CHECKED, {"x": "not used", "y": "not used"}, None, "not used"),
        (CALLED, {"x": "wrong"}, None, "not seen"),
        (CALLED, {}, BEFORE, "right"),
        (BOTH, {"x": "cannot be told"}, None, "not seen"),
        (BOTH, {"x": "cannot be told"}, BEFORE, "right"),
        (BOTH, {"x": "wrong"}, BEFORE, "wrong"),
        (BOTH, {"x": "wrong"}, AFTER, "right"),
        (BOTH, {"x": "not used"}, None, "not used"),
        (NEITHER, {"x": "right"}, None, "cannot be told"),
    ],
)
def test_the_state_of_a_switch_follows_from_its_checks_and_its_last_callback(
    switch: Switch, verdicts: dict[str, Verdict], last_at: datetime | None, state: SwitchState
) -> None:
    findings = [Finding(name, "IM", "a check", verdict) for name, verdict in verdicts.items()]
    assert state_of(switch, Checks(RUN_AT, findings), last_at) == state


def test_the_tables_of_the_page_are_those_of_the_switches(capsys: pytest.CaptureFixture) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "switches"))
    assert script["main"](["--check"]) == 0, "run scripts/switches"
    page = Path(ROOT / "docs" / "deploy.md").read_text()
    for switch in SWITCHES:
        assert switch.path in page.replace("`", ""), switch.name
    assert script["with_tables"](page.replace("公有读私有写", "私有读写", 1)) == page
    assert script["main"](["--wrong"]) == 2
    assert "--check" in capsys.readouterr().err
