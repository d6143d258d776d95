from pathlib import Path

import pytest
import yaml

from settings import BadSettings, Settings, load
from tests.deploy.filled import fill_in, filled_secrets, shipped_secrets
from tests.deploy.front import DEPLOY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    fill_in(tmp_path / "settings.yaml")
    return tmp_path / "settings.yaml"


def test_production_starts_with_the_two_files_once_what_is_yours_is_filled_in(file: Path) -> None:
    settings = load(file, filled_secrets())
    assert settings.environment == "production"
    assert "\nmine\n" in settings.pay.private_key
    assert settings.server.workers > 1


def test_a_start_with_the_secrets_as_they_are_shipped_names_every_one_of_them(file: Path) -> None:
    with pytest.raises(BadSettings) as refused:
        load(file, shipped_secrets())
    named = [problem.partition(": still says REPLACE")[0] for problem in refused.value.problems]
    wanted = {name.removeprefix("QLIVE_").lower().replace("__", ".") for name in shipped_secrets()}
    app = "wechat.apps.REPLACE-WITH-THE-APPID.secret"
    assert sorted(named) == sorted(wanted - {"wechat.apps"} | {app})


@pytest.mark.parametrize("name", sorted(shipped_secrets()))
def test_a_start_with_one_secret_as_it_is_shipped_is_refused(file: Path, name: str) -> None:
    with pytest.raises(BadSettings, match="still says REPLACE"):
        load(file, {**filled_secrets(), name: shipped_secrets()[name]})


def test_a_start_with_the_other_settings_as_they_are_shipped_says_what_is_missing() -> None:
    with pytest.raises(BadSettings) as refused:
        load(DEPLOY / "settings.yaml", filled_secrets())
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "server.public_url",
        "im.sdk_app_id",
        *("live.push_domain", "live.play_domain"),
        *("pay.mchid", "pay.serial_no", "pay.public_key_id", "pay.public_key"),
    ]


def test_secrets_stand_in_the_environment_and_nowhere_else() -> None:
    sections = yaml.safe_load((DEPLOY / "settings.yaml").read_text())
    fields = {name: info.annotation for name, info in Settings.model_fields.items()}
    for section, values in sections.items():
        for key in values if isinstance(values, dict) else ():
            info = fields[section].model_fields
            found = info.get(key) or info["as_json"]
            assert found.repr, f"{section}.{key} is a secret"
