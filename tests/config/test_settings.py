"""Settings from file and environment, production checks and development secrets."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import RSA
from pydantic import BaseModel

from config.loading import InvalidSettings, load
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from runtime import container
from tests.support.paths import ROOT
from tests.support.production_settings import PRODUCTION, XPAY, secret

FILE = ROOT / "settings.yaml"
WITHDRAW = {"QLIVE_WITHDRAW__ENABLED": "on"}


def leaves(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """All settings by dotted name; a map is one setting."""
    found: dict[str, Any] = {}
    for attribute, field in type(section).model_fields.items():
        name, value = prefix + (field.alias or attribute), getattr(section, attribute)
        found |= leaves(value, f"{name}.") if isinstance(value, BaseModel) else {name: value}
    return found


def problems(env: dict[str, str], path: Path = FILE) -> list[str]:
    with pytest.raises(InvalidSettings) as error:
        load(path, env)
    return error.value.problems


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_settings_file_contains_the_defaults() -> None:
    assert load(FILE, {}) == Settings()


def test_settings_file_contains_every_setting_with_a_comment() -> None:
    section, commented = "", []
    for line in FILE.read_text().splitlines():
        if header := re.fullmatch(r"(\w+):( # \S.+)?", line):
            section = f"{header[1]}."
        elif entry := re.fullmatch(r"(  )?(\w+): .+ # \S.+", line):
            commented.append(f"{section if entry[1] else ''}{entry[2]}")
    assert commented == list(leaves(Settings()))


def test_environment_overrides_the_file() -> None:
    settings = load(FILE, {"QLIVE_SERVER__PORT": "9000", "QLIVE_LOGGING__JSON": "true"})
    assert (settings.server.port, settings.server.host) == (9000, "127.0.0.1")
    assert settings.logging.as_json


def test_process_environment_is_ignored(
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


def test_trailing_slash_of_a_url_is_removed() -> None:
    settings = load(FILE, {"QLIVE_IM__API_BASE": "https://console.tim.qq.com/"})
    assert settings.im.api_base == "https://console.tim.qq.com"


def test_rate_limit_is_a_rate_and_a_burst_or_zero(tmp_path: Path) -> None:
    env = {"QLIVE_LIMITS__READ": "0.5/3", "QLIVE_LIMITS__LIKE": "0"}
    limits = load(write(tmp_path, "limits: {order: 0}"), env).limits
    assert (limits.read, limits.like, limits.order) == ((0.5, 3), (0, 0), (0, 0))


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), {}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
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
        ("QLIVE_PRESENCE__GUEST_SECONDS", "0", "Input should be greater than 0"),
        ("QLIVE_PRESENCE__HOST_SECONDS", "inf", "Input should be a finite number"),
        ("QLIVE_PAY__PROVIDER", "alipay", "Input should be 'jsapi' or 'xpay'"),
        ("QLIVE_PAY__APIV3_KEY", "short", "must be the 32 characters"),
        ("QLIVE_PAY__PUSH_AES_KEY", "short", "must be the 43 characters"),
        ("QLIVE_MICRO__ADMISSION", "all", "Input should be 'applied', 'invited' or 'open'"),
        ("QLIVE_MICRO__APPLICATION_SECONDS", "inf", "Input should be a finite number"),
        ("QLIVE_LIMITS__FRAMES_PER_SECOND", "-1", "Input should be greater than or equal to 0"),
        ("QLIVE_LIMITS__READ", "fast", 'must be RATE/BURST like "2/10"'),
        ("QLIVE_LIMITS__READ", "2", 'must be RATE/BURST like "2/10"'),
        ("QLIVE_LIMITS__ORDER", "0/5", 'must be RATE/BURST like "2/10"'),
        ("QLIVE_LIMITS__ORDER", "2/0", 'must be RATE/BURST like "2/10"'),
        ("QLIVE_LIMITS__ORDER", "2/1.5", 'must be RATE/BURST like "2/10"'),
        ("QLIVE_ENVIRONMENT", "staging", "Input should be 'development' or 'production'"),
    ],
)
def test_invalid_variable_is_reported_with_its_reason(name: str, value: str, reason: str) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name}: {reason}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {prot: 1}", "server.prot: unknown setting"),
        ("srever: {port: 1}", "srever: unknown setting"),
        ("1: 2", "1: unknown setting"),
        ("server:", "server: Input should be a valid dictionary or instance of ServerSettings"),
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
def test_invalid_entry_of_the_file_is_reported_with_its_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert problems({}, write(tmp_path, text)) == [problem]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "pages: {size: 0}")
    assert len(problems({"QLIVE_AUTH__TOKEN_DAYS": "0", "QLIVE_X": ""}, path)) == 3


def test_section_set_both_as_a_whole_and_in_part_is_reported() -> None:
    env = {"QLIVE_SERVER": "{}", "QLIVE_SERVER__PORT": "1"}
    assert problems(env) == ["QLIVE_SERVER__PORT: QLIVE_SERVER is already set as a whole"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [\n  geheim", "not YAML, line 2"),
        ("- server", "must be a mapping of sections"),
        ("a: \x00", "not YAML"),
    ],
)
def test_unparsable_file_is_reported_without_its_text(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = write(tmp_path, text)
    assert problems({}, path) == [f"{path}: {reason}"]


def test_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert problems({}, path) == [f"{path}: No such file or directory"]


@pytest.mark.parametrize("url", ["redis://redis:6379/1", "rediss://redis", "unix:///run/redis"])
def test_redis_url_may_have_any_scheme_of_the_client(url: str) -> None:
    assert load(FILE, {"QLIVE_REDIS__URL": url}).redis.url == url


def test_complete_production_settings_are_valid() -> None:
    settings = load(FILE, PRODUCTION)
    assert settings.environment == "production"
    assert settings.problems() == []


def test_address_and_simulator_stand_in_for_urls_that_are_not_set() -> None:
    development = load(FILE, {"QLIVE_IM__API_BASE": "https://im.test"})
    placed = development.at("http://127.0.0.1:8000", "http://127.0.0.1:8000/sim")
    assert placed.server.public_url == "http://127.0.0.1:8000"
    assert placed.wechat.api_base == placed.pay.api_base == "http://127.0.0.1:8000/sim"
    assert placed.live.api_base == "http://127.0.0.1:8000/sim/live"
    assert placed.im.api_base == "https://im.test"
    production = load(FILE, PRODUCTION)
    assert production.at("http://127.0.0.1:8000", "") == production


async def test_virtual_payment_needs_no_merchant_key() -> None:
    context = container.build(load(FILE, XPAY), "mongodb://127.0.0.1:9/", "https://qlive.cn")
    assert context.tencent.jsapi is None
    await container.close(context)


@pytest.mark.parametrize(
    "name", [name for name in XPAY if name not in PRODUCTION and not name.endswith("PROVIDER")]
)
def test_virtual_payment_in_production_requires(name: str) -> None:
    (problem,) = problems({key: value for key, value in XPAY.items() if key != name})
    assert problem.startswith(name.removeprefix("QLIVE_").lower().replace("__", "."))


def test_production_sells_gold_by_virtual_payment_only() -> None:
    (problem,) = problems(PRODUCTION | {"QLIVE_PAY__JSAPI_SELLS_GOODS_ONLY": "false"})
    assert problem.startswith("pay.jsapi_sells_goods_only: must be true when pay.provider is jsapi")
    assert "virtual payment (pay.provider: xpay) on every terminal" in problem
    assert load(FILE, XPAY).problems() == []


def test_rankings_are_public_in_production_only_if_set(tmp_path: Path) -> None:
    assert load(FILE, {}).rankings_are_public
    assert not load(FILE, PRODUCTION).rankings_are_public
    assert load(FILE, PRODUCTION | {"QLIVE_RANKING__PUBLIC": "consented"}).rankings_are_public
    assert not load(write(tmp_path, "ranking: {public: off}"), {}).rankings_are_public


@pytest.mark.parametrize("value", ["on", "true"])
def test_withdrawals_are_on_in_production_only_if_set(tmp_path: Path, value: str) -> None:
    assert load(FILE, {}).withdrawals_are_on
    assert not load(FILE, PRODUCTION).withdrawals_are_on
    assert not load(write(tmp_path, "withdraw: {enabled: off}"), {}).withdrawals_are_on
    file = write(tmp_path, f"withdraw: {{enabled: {value}}}")
    assert load(file, PRODUCTION).withdrawals_are_on


def test_withdrawals_in_production_require_the_merchant() -> None:
    names = ("apiv3_key", "mchid", "private_key", "public_key", "public_key_id", "serial_no")
    missing = problems(XPAY | WITHDRAW)
    assert sorted(missing) == [f"pay.{name}: is missing" for name in names]
    assert load(FILE, PRODUCTION | WITHDRAW).withdrawals_are_on


def test_limits_of_withdrawals_fit_wechat_pay() -> None:
    for name, value in (("MIN_FEN", "9"), ("MAX_FEN", "9"), ("REMARK", "三" * 33)):
        (problem,) = problems({f"QLIVE_WITHDRAW__{name}": value})
        assert problem.startswith(f"QLIVE_WITHDRAW__{name}: ")


def test_virtual_payment_in_production_refuses_sandbox_and_several_apps() -> None:
    (problem,) = problems(XPAY | {"QLIVE_PAY__SANDBOX": "true"})
    assert problem == "pay.sandbox: must be false in production: sandbox payments move no money"
    two_apps = f'{{"wx1": {{"secret": "{secret("1")}"}}, "wx2": {{"secret": "{secret("2")}"}}}}'
    (problem,) = problems(XPAY | {"QLIVE_WECHAT__APPS": two_apps})
    assert problem.startswith("wechat.apps: must have one app")


# Without one of these, the default of the file applies, which is for development.
@pytest.mark.parametrize(
    "name", sorted(set(PRODUCTION) - {"QLIVE_ENVIRONMENT", "QLIVE_OPS__TOKEN"})
)
def test_production_requires(name: str) -> None:
    (problem,) = problems({key: value for key, value in PRODUCTION.items() if key != name})
    dotted = name.removeprefix("QLIVE_").lower().replace("__", ".")
    assert problem.startswith(dotted)


def test_production_needs_no_token_of_a_machine() -> None:
    assert load(FILE, PRODUCTION | {"QLIVE_OPS__TOKEN": ""}).ops.token == ""


def test_production_refuses_an_empty_map_of_apps() -> None:
    assert problems(PRODUCTION | {"QLIVE_WECHAT__APPS": "{}"}) == ["wechat.apps: is missing"]


def test_production_refuses_an_empty_base_url_because_it_means_the_simulator() -> None:
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
def test_production_refuses_placeholders(name: str, value: str, problem: str) -> None:
    assert problems(PRODUCTION | {name: value}) == [f"{problem}: still has the placeholder REPLACE"]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("OPS__TOKEN", "1", "ops.token: has fewer than 24 characters"),
        ("OPS__TOKEN", secret("23")[:23], "ops.token: has fewer than 24 characters"),
        ("OPS__TOKEN", "0123456789" * 3, "ops.token: is easy to guess"),
        ("PAY__CONTENT_KEY", "a" * 32, "pay.content_key: is easy to guess"),
        ("PAY__PRIVATE_KEY", "1", "pay.private_key: must be a private key as PEM text"),
        ("PAY__APIV3_KEY", "ab" * 16, "pay.apiv3_key: is easy to guess"),
        *[
            (name, "1", f"{name.lower().replace('__', '.')}: has fewer than 16 characters")
            for name in ("IM__SECRET_KEY", "IM__CALLBACK_TOKEN", "LIVE__PUSH_KEY", "LIVE__PLAY_KEY")
        ],
        ("LIVE__CALLBACK_KEY", "1", "live.callback_key: has fewer than 16 characters"),
        ("LIVE__SECRET_KEY", "1", "live.secret_key: has fewer than 16 characters"),
        ("WECHAT__APPS", '{"wx1": {"secret": "1"}}', "wechat.apps.wx1.secret: has fewer than 16"),
        ("SERVER__PUBLIC_URL", "http://live.qlive.cn", "server.public_url: must begin with https:"),
        ("WECHAT__API_BASE", "http://api.weixin.qq.com", "wechat.api_base: must begin with https:"),
        ("IM__API_BASE", "http://console.tim.qq.com", "im.api_base: must begin with https:"),
        ("LIVE__API_BASE", "http://live.example.com", "live.api_base: must begin with https:"),
        ("PAY__API_BASE", "http://api.mch.weixin.qq.com", "pay.api_base: must begin with https:"),
    ],
)
def test_production_refuses_weak_secrets_and_urls_without_tls(
    name: str, value: str, problem: str
) -> None:
    (found,) = problems(PRODUCTION | {f"QLIVE_{name}": value})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AUTH__ENCRYPTION_KEY", "1", "auth.encryption_key: has fewer than 24 characters"),
        ("PAY__APP_KEY", "1", "pay.app_key: has fewer than 16 characters"),
        ("PAY__PUSH_TOKEN", "1", "pay.push_token: has fewer than 16 characters"),
        ("PAY__PUSH_AES_KEY", "A" * 43, "pay.push_aes_key: is easy to guess"),
    ],
)
def test_virtual_payment_refuses_weak_secrets(name: str, value: str, problem: str) -> None:
    (found,) = problems(XPAY | {f"QLIVE_{name}": value})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("settings", "name", "value", "problem"),
    [
        (PRODUCTION, "PAY__APP_KEY", "1", "pay.app_key: has fewer than 16 characters"),
        (PRODUCTION, "PAY__PUSH_TOKEN", "1", "pay.push_token: has fewer than 16 characters"),
        (PRODUCTION, "PAY__PUSH_AES_KEY", "A" * 43, "pay.push_aes_key: is easy to guess"),
        (XPAY, "PAY__APIV3_KEY", "ab" * 16, "pay.apiv3_key: is easy to guess"),
        (XPAY, "PAY__PRIVATE_KEY", "1", "pay.private_key: must be a private key as PEM text"),
    ],
)
def test_production_refuses_weak_secrets_of_the_other_payment_provider(
    settings: dict[str, str], name: str, value: str, problem: str
) -> None:
    (found,) = problems(settings | {f"QLIVE_{name}": value})
    assert found.startswith(problem)


def test_a_weak_secret_is_not_in_the_message() -> None:
    (found,) = problems(PRODUCTION | {"QLIVE_OPS__TOKEN": "geheim"})
    assert "geheim" not in found


REMOTE = [
    ("QLIVE_SERVER__HOST", "0.0.0.0", "server.host"),
    ("QLIVE_SERVER__HOST", "", "server.host"),
    ("QLIVE_SERVER__HOST", "::", "server.host"),
    ("QLIVE_SERVER__HOST", "192.168.1.5", "server.host"),
    ("QLIVE_SERVER__HOST", "example.com", "server.host"),
    ("QLIVE_MONGODB__URI", "mongodb://db/?replicaSet=rs0", "mongodb.uri"),
    ("QLIVE_MONGODB__URI", "mongodb://u:p@127.0.0.1:1,10.0.0.2:1/?a=/@127.0.0.1", "mongodb.uri"),
    ("QLIVE_MONGODB__URI", "mongodb+srv://localhost/", "mongodb.uri"),
]


@pytest.mark.parametrize(("name", "value", "setting"), REMOTE)
def test_development_beyond_this_machine_is_refused_unless_allowed(
    name: str, value: str, setting: str
) -> None:
    (found,) = problems({name: value})
    assert found.startswith(f"{setting}: ")
    assert "anybody logs in as anybody" in found
    assert "server.allow_remote_development: true" in found
    load(FILE, {name: value, "QLIVE_SERVER__ALLOW_REMOTE_DEVELOPMENT": "true"})
    load(FILE, PRODUCTION | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QLIVE_SERVER__HOST", "localhost"),
        ("QLIVE_SERVER__HOST", "::1"),
        ("QLIVE_SERVER__HOST", "127.0.0.2"),
        ("QLIVE_MONGODB__URI", "mongodb://127.0.0.1:27017,[::1]:27018,localhost/?replicaSet=a"),
        ("QLIVE_MONGODB__URI", "mongodb://u:p@localhost/"),
        ("QLIVE_MONGODB__URI", "mongodb://%2Ftmp%2Fmongodb-27017.sock/"),
    ],
)
def test_development_on_this_machine_is_allowed(name: str, value: str) -> None:
    load(FILE, {name: value})


def test_production_refuses_every_generated_development_secret(secrets_file: Path) -> None:
    generated, _ = fill_in_secrets(load(FILE, {}), secrets_file)
    settings = load(FILE, PRODUCTION).model_copy(
        update={
            "wechat": generated.wechat,
            "im": generated.im,
            "live": generated.live,
        }
    )
    refused = {problem for problem in settings.problems() if "development value" in problem}
    assert {problem.split(":")[0] for problem in refused} == {
        "wechat.apps.wxca891295c56f2c79.secret",
        *("im.sdk_app_id", "im.secret_key", "im.callback_token"),
        *("live.push_domain", "live.play_domain", "live.push_key", "live.play_key"),
        *("live.callback_key", "live.secret_id", "live.secret_key"),
    }


def test_development_secrets_are_generated_once_and_stored(
    tmp_path: Path, secrets_file: Path
) -> None:
    file = tmp_path / "var" / "dev-secrets.json"
    first, simulator = fill_in_secrets(load(FILE, {}), file)
    assert (first, simulator) == fill_in_secrets(load(FILE, {}), file)
    other, _ = fill_in_secrets(load(FILE, {}), secrets_file)
    assert first.im.callback_token != other.im.callback_token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert len(first.pay.apiv3_key) == 32
    empty = {name for name, value in leaves(first).items() if value in ("", 0)}
    base_urls = {"wechat.api_base", "im.api_base", "live.api_base", "pay.api_base"}
    assert empty == base_urls | {
        "server.machine",
        "server.public_url",
        "mongodb.uri",
        "redis.url",
    } | {
        *("logging.json", "pay.sandbox"),
        *("ops.token", "server.allow_remote_development"),
        *("pay.jsapi_sells_goods_only", "ranking.public"),
        *("withdraw.enabled", "withdraw.auto_fen"),
    }
    assert all(app.secret for app in first.wechat.apps.values())


def test_generated_rsa_keys_match(secrets_file: Path) -> None:
    settings, simulator = fill_in_secrets(load(FILE, {}), secrets_file)
    merchant_key = RSA.import_key(settings.pay.private_key)
    platform_key = RSA.import_key(simulator.platform_private_key)
    assert merchant_key.size_in_bits() == platform_key.size_in_bits() == 2048
    assert RSA.import_key(settings.pay.public_key) == platform_key.public_key()
    assert merchant_key != platform_key


def test_configured_secrets_are_not_replaced(secrets_file: Path) -> None:
    env = {
        "QLIVE_OPS__TOKEN": "mine",
        "QLIVE_IM__SDK_APP_ID": "1400000002",
        "QLIVE_WECHAT__APPS": '{"wx1": {"secret": "mine"}, "wx2": {}}',
    }
    settings, _ = fill_in_secrets(load(FILE, env), secrets_file)
    assert (settings.ops.token, settings.im.sdk_app_id) == ("mine", 1400000002)
    assert settings.wechat.apps["wx1"].secret == "mine"
    assert settings.wechat.apps["wx2"].secret


def test_app_added_later_gets_a_secret_and_other_secrets_stay(secrets_file: Path) -> None:
    one, two = ({"QLIVE_WECHAT__APPS": apps} for apps in ('{"wx1": {}}', '{"wx1": {}, "wx2": {}}'))
    first, _ = fill_in_secrets(load(FILE, one), secrets_file)
    second, _ = fill_in_secrets(load(FILE, two), secrets_file)
    assert second.wechat.apps["wx1"] == first.wechat.apps["wx1"]
    assert second.wechat.apps["wx2"].secret not in ("", first.wechat.apps["wx1"].secret)
    assert second.pay == first.pay


def test_repr_and_str_of_settings_contain_no_secrets(secrets_file: Path) -> None:
    env = {
        "QLIVE_MONGODB__URI": "mongodb://user:password@127.0.0.1/",
        "QLIVE_REDIS__URL": "redis://:password@redis/",
    }
    settings, simulator = fill_in_secrets(load(FILE, env), secrets_file)
    text = f"{settings!r} {settings} {simulator!r}"
    assert "dev-" not in text
    assert "PRIVATE KEY" not in text
    assert "password" not in text
