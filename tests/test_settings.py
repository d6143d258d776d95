"""The settings from file and environment, and the secrets a laptop makes up."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import RSA
from pydantic import BaseModel

import assembly
from devsecrets import fill
from settings import BadSettings, Settings, load

ROOT = Path(__file__).parents[1]
FILE = ROOT / "settings.yaml"
PRODUCTION = {
    "QLIVE_ENVIRONMENT": "production",
    "QLIVE_SERVER__PUBLIC_URL": "https://live.qlive.cn",
    "QLIVE_MONGODB__URI": "mongodb://db/?replicaSet=rs0",
    "QLIVE_WECHAT__API_BASE": "https://api.weixin.qq.com",
    "QLIVE_WECHAT__APPS": '{"wx1": {"secret": "s1"}}',
    "QLIVE_IM__API_BASE": "https://console.tim.qq.com",
    "QLIVE_IM__SDK_APP_ID": "1400000001",
    "QLIVE_IM__SECRET_KEY": "s2",
    "QLIVE_IM__CALLBACK_TOKEN": "s8",
    "QLIVE_LIVE__PUSH_DOMAIN": "push.qlive.cn",
    "QLIVE_LIVE__PLAY_DOMAIN": "play.qlive.cn",
    "QLIVE_LIVE__PUSH_KEY": "s3",
    "QLIVE_LIVE__PLAY_KEY": "s4",
    "QLIVE_LIVE__CALLBACK_KEY": "s9",
    "QLIVE_LIVE__API_BASE": "https://live.tencentcloudapi.com",
    "QLIVE_LIVE__SECRET_ID": "s10",
    "QLIVE_LIVE__SECRET_KEY": "s11",
    "QLIVE_PAY__API_BASE": "https://api.mch.weixin.qq.com",
    "QLIVE_PAY__CONTENT_KEY": "s5",
    "QLIVE_PAY__MCHID": "1900000110",
    "QLIVE_PAY__SERIAL_NO": "5157F09E",
    "QLIVE_PAY__PRIVATE_KEY": "s6",
    "QLIVE_PAY__APIV3_KEY": "0123456789abcdef0123456789abcdef",
    "QLIVE_PAY__PUBLIC_KEY_ID": "PUB_KEY_ID_1",
    "QLIVE_PAY__PUBLIC_KEY": "p1",
    "QLIVE_OPS__TOKEN": "s7",
}


def leaves(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Every setting by its dotted name; a map is one setting."""
    found: dict[str, Any] = {}
    for attribute, field in type(section).model_fields.items():
        name, value = prefix + (field.alias or attribute), getattr(section, attribute)
        found |= leaves(value, f"{name}.") if isinstance(value, BaseModel) else {name: value}
    return found


def problems(env: dict[str, str], path: Path = FILE) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        load(path, env)
    return refused.value.problems


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_the_file_holds_the_defaults() -> None:
    assert load(FILE, {}) == Settings()


def test_the_file_holds_every_setting_with_a_comment() -> None:
    section, commented = "", []
    for line in FILE.read_text().splitlines():
        if top := re.fullmatch(r"(\w+):( # \S.+)?", line):
            section = f"{top[1]}."
        elif one := re.fullmatch(r"(  )?(\w+): .+ # \S.+", line):
            commented.append(f"{section if one[1] else ''}{one[2]}")
    assert commented == list(leaves(Settings()))


def test_the_environment_wins_over_the_file() -> None:
    settings = load(FILE, {"QLIVE_SERVER__PORT": "9000", "QLIVE_LOGGING__JSON": "true"})
    assert (settings.server.port, settings.server.host) == (9000, "127.0.0.1")
    assert settings.logging.as_json


def test_the_process_environment_is_not_read_behind_the_callers_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QLIVE_SERVER__PORT", "9000")
    monkeypatch.setenv("SERVER", '{"port": 9000}')
    assert load(FILE, {}).server.port == 8000


def test_lists_and_maps_are_json_in_the_environment() -> None:
    env = {
        "QLIVE_SERVER__ALLOWED_ORIGINS": '["https://qlive.cn"]',
        "QLIVE_SERVER__TRUSTED_PROXIES": '["10.0.0.1", "::1"]',
        "QLIVE_WECHAT__APPS": '{"wx1": {"secret": "s1"}, "wx2": {"secret": "s2"}}',
    }
    settings = load(FILE, env)
    assert settings.server.allowed_origins == ["https://qlive.cn"]
    assert settings.server.trusted_proxies == ["10.0.0.1", "::1"]
    assert {app_id: app.secret for app_id, app in settings.wechat.apps.items()} == {
        "wx1": "s1",
        "wx2": "s2",
    }


def test_a_url_loses_its_last_slash() -> None:
    settings = load(FILE, {"QLIVE_IM__API_BASE": "https://console.tim.qq.com/"})
    assert settings.im.api_base == "https://console.tim.qq.com"


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), {}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("QLIVE_SERVER__PROT", "1", "unknown setting"),
        ("QLIVE_SREVER__PORT", "1", "unknown setting"),
        ("QLIVE_SERVER__PORT__DEEP", "1", "Input should be a valid integer"),
        ("QLIVE_PORT", "1", "unknown setting"),
        ("QLIVE_LOGGING__AS_JSON", "1", "unknown setting"),
        ("QLIVE_WECHAT__APPS__WX1__SECERT", "1", "unknown setting"),
        ("QLIVE_SERVER__PORT", "eighty", "Input should be a valid integer"),
        ("QLIVE_SERVER__PORT", "65536", "Input should be less than or equal to 65535"),
        ("QLIVE_SERVER__ALLOWED_ORIGINS", "https://qlive.cn", "must be JSON"),
        ("QLIVE_SERVER", "{}", "Input should be a valid dictionary"),
        ("QLIVE_WECHAT__API_BASE", "api.weixin.qq.com", "must be a URL"),
        ("QLIVE_MONGODB__URI", "localhost:27017", "must begin with mongodb://"),
        ("QLIVE_REDIS__URL", "localhost:6379", "must begin with redis://"),
        ("QLIVE_SERVER__WORKERS", "0", "Input should be greater than or equal to 1"),
        ("QLIVE_SERVER__WORKERS", "65", "Input should be less than or equal to 64"),
        ("QLIVE_PRESENCE__GUEST_SECONDS", "0", "Input should be greater than 0"),
        ("QLIVE_PRESENCE__HOST_SECONDS", "inf", "Input should be a finite number"),
        ("QLIVE_PAY__PROVIDER", "alipay", "Input should be 'jsapi' or 'xpay'"),
        ("QLIVE_PAY__APIV3_KEY", "short", "must be the 32 characters"),
        ("QLIVE_PAY__PUSH_AES_KEY", "short", "must be the 43 characters"),
        ("QLIVE_MICRO__ADMISSION", "all", "Input should be 'applied', 'invited' or 'open'"),
        ("QLIVE_MICRO__APPLICATION_SECONDS", "inf", "Input should be a finite number"),
        ("QLIVE_REALTIME__SILENT_SECONDS", "25", "silent_seconds must be more than"),
        ("QLIVE_LIMITS__FRAMES_PER_SECOND", "-1", "Input should be greater than or equal to 0"),
        ("QLIVE_ENVIRONMENT", "staging", "Input should be 'development' or 'production'"),
    ],
)
def test_a_bad_variable_is_named_with_its_reason(name: str, value: str, why: str) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name}: {why}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {prot: 1}", "server.prot: unknown setting"),
        ("srever: {port: 1}", "srever: unknown setting"),
        ("1: 2", "1: unknown setting"),
        ("server:", "server: Input should be a valid dictionary or instance of Server"),
        (
            "server: {allowed_origins: [qlive.cn]}",
            "server.allowed_origins.0: must be an origin like https://example.com",
        ),
        (
            "server: {trusted_proxies: [proxy]}",
            "server.trusted_proxies.0: 'proxy' does not appear to be an IPv4 or IPv6 address",
        ),
    ],
)
def test_a_bad_entry_of_the_file_is_named_with_its_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert problems({}, write(tmp_path, text)) == [problem]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "pages: {size: 0}")
    assert len(problems({"QLIVE_AUTH__TOKEN_DAYS": "0", "QLIVE_X": ""}, path)) == 3


def test_a_section_that_is_set_as_a_whole_and_in_part_is_told() -> None:
    env = {"QLIVE_SERVER": "{}", "QLIVE_SERVER__PORT": "1"}
    assert problems(env) == ["QLIVE_SERVER__PORT: QLIVE_SERVER is set as a whole already"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [\n  geheim", "not YAML, line 2"),
        ("- server", "must be sections with settings"),
        ("a: \x00", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_read_as_settings_is_told_without_its_text(
    tmp_path: Path, text: str, why: str
) -> None:
    path = write(tmp_path, text)
    assert problems({}, path) == [f"{path}: {why}"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert problems({}, path) == [f"{path}: No such file or directory"]


@pytest.mark.parametrize("url", ["redis://redis:6379/1", "rediss://redis", "unix:///run/redis"])
def test_redis_may_be_reached_in_every_way_that_it_offers(url: str) -> None:
    assert load(FILE, {"QLIVE_REDIS__URL": url}).redis.url == url


def test_production_with_everything_starts() -> None:
    settings = load(FILE, PRODUCTION)
    assert settings.environment == "production"
    assert settings.problems_in_production() == []


XPAY = {
    **{name: value for name, value in PRODUCTION.items() if not name.startswith("QLIVE_PAY__")},
    "QLIVE_PAY__PROVIDER": "xpay",
    "QLIVE_PAY__API_BASE": "https://api.mch.weixin.qq.com",
    "QLIVE_PAY__CONTENT_KEY": "s5",
    "QLIVE_PAY__OFFER_ID": "1450000002",
    "QLIVE_PAY__APP_KEY": "s12",
    "QLIVE_PAY__PUSH_TOKEN": "s13",
    "QLIVE_PAY__PUSH_AES_KEY": "a" * 43,
    "QLIVE_AUTH__SEALING_KEY": "s14",
}


@pytest.mark.gen_test
async def test_production_with_virtual_payment_needs_no_merchants_key() -> None:
    parts = assembly.build(load(FILE, XPAY), None, "mongodb://127.0.0.1:9/", "https://qlive.cn")
    assert parts.jsapi is None
    await assembly.take_down(parts)


@pytest.mark.parametrize(
    "name", [name for name in XPAY if name not in PRODUCTION and not name.endswith("PROVIDER")]
)
def test_production_with_virtual_payment_refuses_to_start_without(name: str) -> None:
    (problem,) = problems({key: value for key, value in XPAY.items() if key != name})
    assert problem.startswith(name.removeprefix("QLIVE_").lower().replace("__", "."))


def test_production_takes_no_payments_that_are_none_and_one_mini_program_s_pushes() -> None:
    (problem,) = problems(XPAY | {"QLIVE_PAY__SANDBOX": "true"})
    assert problem == "pay.sandbox: is true, and payments of the sandbox are none"
    two = '{"wx1": {"secret": "s1"}, "wx2": {"secret": "s2"}}'
    (problem,) = problems(XPAY | {"QLIVE_WECHAT__APPS": two})
    assert problem.startswith("wechat.apps: has several")


# Without one of these the file's value stands, which is that of a laptop.
@pytest.mark.parametrize("name", sorted(set(PRODUCTION) - {"QLIVE_ENVIRONMENT"}))
def test_production_refuses_to_start_without(name: str) -> None:
    (problem,) = problems({key: value for key, value in PRODUCTION.items() if key != name})
    dotted = name.removeprefix("QLIVE_").lower().replace("__", ".")
    assert problem.startswith(dotted)


def test_production_refuses_an_empty_list_of_apps() -> None:
    assert problems(PRODUCTION | {"QLIVE_WECHAT__APPS": "{}"}) == ["wechat.apps: is missing"]


def test_production_says_what_an_empty_base_would_mean() -> None:
    (problem,) = problems(PRODUCTION | {"QLIVE_PAY__API_BASE": ""})
    assert problem == "pay.api_base: is empty, and the simulator is for development only"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("QLIVE_OPS__TOKEN", "REPLACE", "ops.token"),
        ("QLIVE_MONGODB__URI", "mongodb://qlive:REPLACE@db/", "mongodb.uri"),
        ("QLIVE_REDIS__URL", "redis://qlive:REPLACE@redis/", "redis.url"),
        ("QLIVE_PAY__PLATFORM_KEYS", '{"REPLACE": "PEM"}', "pay.platform_keys.REPLACE"),
        ("QLIVE_WECHAT__APPS", '{"REPLACE": {"secret": "s1"}}', "wechat.apps.REPLACE.secret"),
        ("QLIVE_WECHAT__APPS", '{"wx1": {"secret": "REPLACE IT"}}', "wechat.apps.wx1.secret"),
    ],
)
def test_production_refuses_what_is_still_to_be_filled_in(
    name: str, value: str, problem: str
) -> None:
    assert problems(PRODUCTION | {name: value}) == [f"{problem}: still says REPLACE"]


def test_production_refuses_every_secret_a_laptop_made_up(tmp_path: Path) -> None:
    made, _ = fill(load(FILE, {}), tmp_path / "secrets.json")
    settings = load(FILE, PRODUCTION).model_copy(
        update={"wechat": made.wechat, "im": made.im, "live": made.live, "ops": made.ops}
    )
    told = {problem for problem in settings.problems_in_production() if "laptop" in problem}
    assert {problem.split(":")[0] for problem in told} == {
        "wechat.apps.wxca891295c56f2c79.secret",
        *("im.sdk_app_id", "im.secret_key", "im.callback_token", "ops.token"),
        *("live.push_domain", "live.play_domain", "live.push_key", "live.play_key"),
        *("live.callback_key", "live.secret_id", "live.secret_key"),
    }


def test_a_laptop_gets_every_secret_made_up_once(tmp_path: Path) -> None:
    file = tmp_path / "var" / "dev-secrets.json"
    first, simulator = fill(load(FILE, {}), file)
    assert (first, simulator) == fill(load(FILE, {}), file)
    other, _ = fill(load(FILE, {}), tmp_path / "other.json")
    assert first.ops.token != other.ops.token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert len(first.pay.apiv3_key) == 32
    missing = {name for name, value in leaves(first).items() if value in ("", 0)}
    bases = {"wechat.api_base", "im.api_base", "live.api_base", "pay.api_base"}
    assert missing == bases | {"server.public_url", "mongodb.uri", "redis.url"} | {
        *("gifts.repeat_window_ms", "logging.json", "pay.sandbox")
    }
    assert all(app.secret for app in first.wechat.apps.values())


def test_the_made_up_keys_fit_each_other(tmp_path: Path) -> None:
    settings, simulator = fill(load(FILE, {}), tmp_path / "secrets.json")
    ours = RSA.import_key(settings.pay.private_key)
    theirs = RSA.import_key(simulator.platform_private_key)
    assert ours.size_in_bits() == theirs.size_in_bits() == 2048
    assert RSA.import_key(simulator.merchant_public_key) == ours.public_key()
    assert RSA.import_key(settings.pay.public_key) == theirs.public_key()
    assert ours != theirs


def test_what_is_given_is_not_made_up(tmp_path: Path) -> None:
    env = {
        "QLIVE_OPS__TOKEN": "mine",
        "QLIVE_IM__SDK_APP_ID": "1400000002",
        "QLIVE_WECHAT__APPS": '{"wx1": {"secret": "mine"}, "wx2": {}}',
    }
    settings, _ = fill(load(FILE, env), tmp_path / "secrets.json")
    assert (settings.ops.token, settings.im.sdk_app_id) == ("mine", 1400000002)
    assert settings.wechat.apps["wx1"].secret == "mine"
    assert settings.wechat.apps["wx2"].secret


def test_an_app_that_is_added_later_gets_a_secret_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secrets.json"
    first, _ = fill(load(FILE, {"QLIVE_WECHAT__APPS": '{"wx1": {}}'}), file)
    second, _ = fill(load(FILE, {"QLIVE_WECHAT__APPS": '{"wx1": {}, "wx2": {}}'}), file)
    assert second.wechat.apps["wx1"] == first.wechat.apps["wx1"]
    assert second.wechat.apps["wx2"].secret not in ("", first.wechat.apps["wx1"].secret)
    assert second.pay == first.pay


def test_no_secret_is_in_what_a_log_would_show(tmp_path: Path) -> None:
    env = {
        "QLIVE_MONGODB__URI": "mongodb://user:password@db/",
        "QLIVE_REDIS__URL": "redis://:password@redis/",
    }
    settings, simulator = fill(load(FILE, env), tmp_path / "secrets.json")
    shown = f"{settings!r} {settings} {simulator!r}"
    assert "dev-" not in shown
    assert "PRIVATE KEY" not in shown
    assert "password" not in shown
