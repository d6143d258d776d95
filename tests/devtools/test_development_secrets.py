"""Secrets of development: generated once, stored, and never instead of configured ones."""

import stat
from pathlib import Path

from Crypto.PublicKey import RSA

from config.loading import load
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from tests.support.paths import ROOT

FILE = ROOT / "settings.yaml"


def test_secrets_are_generated_once_and_stored(tmp_path: Path, secrets_file: Path) -> None:
    file = tmp_path / "var" / "dev-secrets.json"
    first, simulator_key = fill_in_secrets(Settings(), file)
    assert (first, simulator_key) == fill_in_secrets(Settings(), file)
    other, _ = fill_in_secrets(Settings(), secrets_file)
    assert first.im.callback_token != other.im.callback_token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert len(first.pay.apiv3_key) == 32
    sections = ("wechat", "im", "live_streaming", "pay", "auth", "ops")
    empty = {
        f"{section}.{name}"
        for section in sections
        for name, value in getattr(first, section).model_dump().items()
        if value in ("", 0)
    }
    base_urls = {f"{section}.api_base" for section in ("wechat", "im", "live_streaming", "pay")}
    assert empty == base_urls | {"ops.token", "pay.sandbox", "pay.jsapi_sells_goods_only"}
    assert all(app.secret for app in first.wechat.apps.values())
    merchant_key = RSA.import_key(first.pay.private_key)
    platform_key = RSA.import_key(simulator_key)
    assert merchant_key.size_in_bits() == platform_key.size_in_bits() == 2048
    assert RSA.import_key(first.pay.public_key) == platform_key.public_key()
    assert merchant_key != platform_key


def test_configured_secrets_are_not_replaced_and_an_app_added_later_gets_one(
    secrets_file: Path,
) -> None:
    first, _ = fill_in_secrets(load(FILE, {"QLIVE_WECHAT__APPS": '{"wx1": {}}'}), secrets_file)
    env = {
        "QLIVE_OPS__TOKEN": "mine",
        "QLIVE_IM__SDK_APP_ID": "1400000002",
        "QLIVE_WECHAT__APPS": '{"wx0": {"secret": "mine"}, "wx1": {}, "wx2": {}}',
    }
    settings, _ = fill_in_secrets(load(FILE, env), secrets_file)
    assert (settings.ops.token, settings.im.sdk_app_id) == ("mine", 1400000002)
    apps = settings.wechat.apps
    assert (apps["wx0"].secret, apps["wx1"]) == ("mine", first.wechat.apps["wx1"])
    assert apps["wx2"].secret not in ("", apps["wx1"].secret)
    assert settings.pay == first.pay
