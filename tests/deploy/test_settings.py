from pathlib import Path

import pytest
import yaml

from config.loading import InvalidSettings, load
from config.settings import Settings
from tests.support.filled_settings import MINE, fill_in, filled_secrets, shipped_secrets
from tests.support.nginx import DEPLOY


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    fill_in(tmp_path / "settings.yaml")
    return tmp_path / "settings.yaml"


def test_production_settings_load_once_both_files_are_filled_in(settings_file: Path) -> None:
    settings = load(settings_file, filled_secrets())
    assert settings.environment == "production"
    assert (settings.pay.provider, settings.pay.app_key) == ("xpay", MINE)


def test_unfilled_secrets_are_all_named_in_the_error(settings_file: Path) -> None:
    with pytest.raises(InvalidSettings) as error:
        load(settings_file, shipped_secrets())
    placeholder = ": still has the placeholder REPLACE"
    reported = [problem.partition(placeholder)[0] for problem in error.value.problems]
    expected = {
        name.removeprefix("QLIVE_").lower().replace("__", ".") for name in shipped_secrets()
    }
    wechat_secret = "wechat.apps.REPLACE-WITH-THE-APPID.secret"
    assert sorted(reported) == sorted(expected - {"wechat.apps"} | {wechat_secret})


def test_unfilled_settings_are_named_in_the_error() -> None:
    with pytest.raises(InvalidSettings) as error:
        load(DEPLOY / "settings.yaml", filled_secrets())
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "age_verification.provider",
        "server.public_url",
        "im.sdk_app_id",
        *("live_streaming.push_domain", "live_streaming.play_domain"),
        "pay.offer_id",
        *("uploads.bucket", "uploads.region"),
    ]


def test_settings_file_contains_no_secret() -> None:
    sections = yaml.safe_load((DEPLOY / "settings.yaml").read_text())
    fields = {name: info.annotation for name, info in Settings.model_fields.items()}
    for section, values in sections.items():
        for key in values if isinstance(values, dict) else ():
            info = fields[section].model_fields
            field = info.get(key) or info["as_json"]
            assert field.repr, f"{section}.{key} is a secret"
