"""Settings from file and environment, and what production and development require of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config.loading import InvalidSettings, load
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from runtime import container
from tests.support.filled_settings import FACEID, PRODUCTION, UPLOADS, XPAY, secret
from tests.support.paths import ROOT

FILE = ROOT / "settings.yaml"


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


def dotted(name: str) -> str:
    """`pay.mchid` for QLIVE_PAY__MCHID."""
    return name.removeprefix("QLIVE_").lower().replace("__", ".")


# ---- file and environment


def test_settings_file_contains_every_setting_with_its_default_and_a_comment(
    tmp_path: Path,
) -> None:
    assert load(FILE, {}) == load(write(tmp_path, ""), {}) == Settings()
    section, commented = "", []
    for line in FILE.read_text().splitlines():
        if header := re.fullmatch(r"(\w+):( # \S.+)?", line):
            section = f"{header[1]}."
        elif entry := re.fullmatch(r"(  )?(\w+): .+ # \S.+", line):
            commented.append(f"{section if entry[1] else ''}{entry[2]}")
    assert commented == list(leaves(Settings()))


def test_links_open_a_page_of_the_example_by_its_path_alone() -> None:
    app = json.loads((ROOT / "examples/miniprogram/app.json").read_text())
    assert Settings().links.page in app["pages"]
    for page in ("/pages/room/room", "pages/room/room?t=1", ""):
        [problem] = problems({"QLIVE_LINKS__PAGE": page})
        assert "must be a page like pages/room/room" in problem


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    env = {
        "QLIVE_SERVER__PORT": "9000",
        "QLIVE_LOGGING__JSON": "true",
        "QLIVE_SERVER__TRUSTED_PROXIES": '["10.0.0.1", "::1"]',
        "QLIVE_WECHAT__APPS": '{"wx1": {"secret": "s1"}, "wx2": {}}',
        "QLIVE_IM__API_BASE": "https://console.tim.qq.com/",
        "SERVER": '{"port": 9001}',
    }
    text = "server: {port: 1, allowed_origins: ['https://qlive.cn']}\nlimits: {factor: 0.5}"
    settings = load(write(tmp_path, text), env)
    server = settings.server
    assert (server.port, server.host, settings.logging.as_json) == (9000, "127.0.0.1", True)
    assert server.allowed_origins == ["https://qlive.cn"]
    assert server.trusted_proxies == ["10.0.0.1", "::1"]
    assert {id_: app.secret for id_, app in settings.wechat.apps.items()} == {
        "wx1": "s1",
        "wx2": "",
    }
    assert settings.im.api_base == "https://console.tim.qq.com"
    assert settings.limits.factor == 0.5


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("QLIVE_SERVER__PROT", "1", "unknown setting"),
        ("QLIVE_SREVER__PORT", "1", "unknown setting"),
        ("QLIVE_SERVER__PORT__DEEP", "1", "Input should be a valid integer"),
        ("QLIVE_LOGGING__AS_JSON", "1", "unknown setting"),
        ("QLIVE_WECHAT__APPS__WX1__SECERT", "1", "unknown setting"),
        ("QLIVE_SERVER__PORT", "65536", "Input should be less than or equal to 65535"),
        ("QLIVE_SERVER__ALLOWED_ORIGINS", "https://qlive.cn", "must be JSON"),
        ("QLIVE_SERVER", "{}", "Input should be a valid dictionary"),
        ("QLIVE_WECHAT__API_BASE", "api.weixin.qq.com", "must be a URL"),
        ("QLIVE_MONGODB__URI", "localhost:27017", "must begin with mongodb://"),
        ("QLIVE_REDIS__URL", "localhost:6379", "must begin with redis://"),
        ("QLIVE_REALTIME__CHECK_SECONDS", "0", "Input should be greater than 0"),
        ("QLIVE_REALTIME__HEARTBEAT_SECONDS", "inf", "Input should be a finite number"),
        ("QLIVE_PAY__APIV3_KEY", "short", "must be the 32 characters"),
        ("QLIVE_PAY__PUSH_AES_KEY", "short", "must be the 43 characters"),
        ("QLIVE_NOTICES__FIELDS__TIME", "thing3", "must be fields like title: thing1"),
        ("QLIVE_NOTICES__FIELDS", '{"title": "thing1"}', "must be fields like title: thing1"),
        ("QLIVE_NOTICES__NEUTRAL_TITLE", "", "String should have at least 1 character"),
        ("QLIVE_NOTICES__PER_SECOND", "101", "Input should be less than or equal to 100"),
        ("QLIVE_LIMITS__FACTOR", "-1", "Input should be greater than or equal to 0"),
        ("QLIVE_WITHDRAW__MIN_FEN", "9", "Input should be greater than or equal to 10"),
        ("QLIVE_WITHDRAW__MAX_FEN", "9", "Input should be greater than or equal to 10"),
        ("QLIVE_WITHDRAW__REMARK", "三" * 33, "String should have at most 32 characters"),
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
        ("1: 2", "1: unknown setting"),
        ("server:", "server: Input should be a valid dictionary or instance of ServerSettings"),
        (
            "server: {allowed_origins: [qlive.cn]}",
            "server.allowed_origins.0: must be an origin like https://example.com",
        ),
        (
            "uploads: {allowed_hosts: ['https://qlive.cn']}",
            "uploads.allowed_hosts.0: must be a host like thirdwx.qlogo.cn",
        ),
        (
            "server: {trusted_proxies: [proxy]}",
            "server.trusted_proxies.0: 'proxy' does not appear to be an IPv4 or IPv6 address",
        ),
        ("a: [\n  geheim", "{path}: not YAML, line 2"),
        ("- server", "{path}: must be a mapping of sections"),
        ("a: \x00", "{path}: not YAML"),
    ],
)
def test_invalid_file_is_reported_with_the_reason_and_without_its_text(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = write(tmp_path, text)
    assert problems({}, path) == [problem.format(path=path)]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert problems({}, missing) == [f"{missing}: No such file or directory"]
    path = write(tmp_path, "micro: {removed_seconds: -1}")
    assert len(problems({"QLIVE_PAY__APIV3_KEY": "0", "QLIVE_X": ""}, path)) == 3
    env = {"QLIVE_SERVER": "{}", "QLIVE_SERVER__PORT": "1"}
    assert problems(env) == ["QLIVE_SERVER__PORT: QLIVE_SERVER is already set as a whole"]


def test_address_and_simulator_stand_in_for_urls_that_are_not_set() -> None:
    development = load(FILE, {"QLIVE_IM__API_BASE": "https://im.test"})
    placed = development.at("http://127.0.0.1:8000", "http://127.0.0.1:8000/sim")
    assert placed.server.public_url == "http://127.0.0.1:8000"
    assert placed.wechat.api_base == placed.pay.api_base == "http://127.0.0.1:8000/sim"
    assert placed.live_streaming.api_base == "http://127.0.0.1:8000/sim/live"
    assert placed.im.api_base == "https://im.test"
    production = load(FILE, PRODUCTION)
    assert production.at("http://127.0.0.1:8000", "") == production


def test_repr_and_str_of_settings_contain_no_secrets(secrets_file: Path) -> None:
    env = {
        "QLIVE_MONGODB__URI": "mongodb://user:password@127.0.0.1/",
        "QLIVE_REDIS__URL": "redis://:password@redis/",
    }
    settings, _ = fill_in_secrets(load(FILE, env), secrets_file)
    text = f"{settings!r} {settings}"
    assert not [word for word in ("dev-", "PRIVATE KEY", "password") if word in text]


@pytest.mark.parametrize("env", [{}, PRODUCTION], ids=["development", "production"])
def test_missing_file_of_words_is_refused(tmp_path: Path, env: dict[str, str]) -> None:
    file = tmp_path / "words.txt"
    named = env | {"QLIVE_MODERATION__FORBIDDEN_WORDS_FILE": str(file)}
    assert problems(named) == ["moderation.forbidden_words_file: is not the path of a file"]
    file.touch()
    load(FILE, named)


# ---- development


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("SERVER__HOST", host) for host in ("0.0.0.0", "", "::", "192.168.1.5", "example.com")],
        ("MONGODB__URI", "mongodb://db/?replicaSet=rs0"),
        ("MONGODB__URI", "mongodb://u:p@127.0.0.1:1,10.0.0.2:1/?a=/@127.0.0.1"),
        ("MONGODB__URI", "mongodb+srv://localhost/"),
        ("SERVER__PUBLIC_URL", "https://live.qlive.test"),
        ("SERVER__PUBLIC_URL", "https://localhost@192.168.1.5:8000"),
    ],
)
def test_development_beyond_this_machine_is_refused_unless_allowed(name: str, value: str) -> None:
    env = {f"QLIVE_{name}": value}
    (found,) = problems(env)
    assert found.startswith(f"{dotted(name)}: ")
    assert "a login needs no proof of identity" in found
    assert "server.allow_remote_development: true" in found
    load(FILE, env | {"QLIVE_SERVER__ALLOW_REMOTE_DEVELOPMENT": "true"})
    load(FILE, PRODUCTION | env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("SERVER__HOST", host) for host in ("localhost", "::1", "127.0.0.2")],
        ("MONGODB__URI", "mongodb://127.0.0.1:27017,[::1]:27018,localhost/?replicaSet=a"),
        ("MONGODB__URI", "mongodb://u:p@localhost/"),
        ("MONGODB__URI", "mongodb://%2Ftmp%2Fmongodb-27017.sock/"),
        ("SERVER__PUBLIC_URL", "http://localhost:8001"),
        ("SERVER__PUBLIC_URL", "http://[::1]:8001/qlive"),
        *[("REDIS__URL", url) for url in ("redis://redis:6379/1", "rediss://r", "unix:///run/r")],
    ],
)
def test_development_on_this_machine_is_allowed(name: str, value: str) -> None:
    load(FILE, {f"QLIVE_{name}": value})


# ---- production


def test_complete_production_settings_are_valid() -> None:
    without_token = {"QLIVE_OPS__TOKEN": ""}
    without_identity = {"QLIVE_AGE_VERIFICATION__PROVIDER": "none"}
    for env in (
        XPAY,
        *(PRODUCTION | more for more in ({}, UPLOADS, FACEID, without_token, without_identity)),
    ):
        settings = load(FILE, env)
        assert (settings.environment, settings.problems()) == ("production", [])


async def test_virtual_payment_needs_no_merchant_key() -> None:
    context = container.build(load(FILE, XPAY), "mongodb://127.0.0.1:9/", "https://qlive.cn")
    assert context.tencent.jsapi is None
    await container.close(context)


# Without one of these, the default of the file applies, which is for development.
REQUIRED = {*PRODUCTION, *XPAY} - {"QLIVE_ENVIRONMENT", "QLIVE_OPS__TOKEN", "QLIVE_PAY__PROVIDER"}


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_production_requires(name: str) -> None:
    complete = PRODUCTION if name in PRODUCTION else XPAY
    (problem,) = problems({key: value for key, value in complete.items() if key != name})
    assert problem.startswith(dotted(name))


@pytest.mark.parametrize(
    ("settings", "name", "value", "problem"),
    [
        (PRODUCTION, "WECHAT__APPS", "{}", "wechat.apps: is missing"),
        (PRODUCTION, "PAY__API_BASE", "", "pay.api_base: is empty, and the simulator is for"),
        (
            *(PRODUCTION, "PAY__JSAPI_SELLS_GOODS_ONLY", "false"),
            "pay.jsapi_sells_goods_only: must be true when pay.provider is jsapi: WeChat requires",
        ),
        (XPAY, "PAY__SANDBOX", "true", "pay.sandbox: must be false in production: sandbox pay"),
        (
            *(XPAY, "WECHAT__APPS"),
            f'{{"wx1": {{"secret": "{secret("1")}"}}, "wx2": {{"secret": "{secret("2")}"}}}}',
            "wechat.apps: must have one app",
        ),
        (PRODUCTION, "UPLOADS__API_BASE", "http://cos.qlive.cn", "uploads.api_base: must begin"),
        *[
            (PRODUCTION | UPLOADS, f"UPLOADS__{name}", "", f"uploads.{name.lower()}: is missing")
            for name in ("REGION", "SECRET_ID", "SECRET_KEY")
        ],
        *[
            (PRODUCTION | FACEID, name, "", f"{dotted(name)}: is ")
            for name in (
                *("AGE_VERIFICATION__API_BASE", "AGE_VERIFICATION__SECRET_ID"),
                "AGE_VERIFICATION__SECRET_KEY",
            )
        ],
        (PRODUCTION, "GIVING__DAY_GOLD", "0", "giving.day_gold: must be above 0 in production"),
        (PRODUCTION, "AGE_VERIFICATION__PROVIDER", "", "age_verification.provider: must be faceid"),
        (
            *(PRODUCTION | {"QLIVE_PAY__PUSH_TOKEN": secret("push")}, "NOTICES__TEMPLATE_ID", "T1"),
            "pay.push_aes_key: is missing",
        ),
        # placeholders
        (PRODUCTION, "OPS__TOKEN", "REPLACE", "ops.token: still has the placeholder REPLACE"),
        (PRODUCTION, "MONGODB__URI", "mongodb://qlive:REPLACE@db/", "mongodb.uri: still has the"),
        (PRODUCTION, "REDIS__URL", "redis://qlive:REPLACE@redis/", "redis.url: still has the"),
        (PRODUCTION, "PAY__PLATFORM_KEYS", '{"REPLACE": "PEM"}', "pay.platform_keys.REPLACE: sti"),
        (
            *(PRODUCTION, "WECHAT__APPS", '{"REPLACE": {"secret": "s1"}}'),
            "wechat.apps.REPLACE.secret: still has the",
        ),
        (
            *(PRODUCTION, "WECHAT__APPS", '{"wx1": {"secret": "REPLACE IT"}}'),
            "wechat.apps.wx1.secret: still has the",
        ),
        # weak secrets, also those of the other payment provider
        (PRODUCTION, "OPS__TOKEN", secret("23")[:23], "ops.token: has fewer than 24 characters"),
        (PRODUCTION, "OPS__TOKEN", "0123456789" * 3, "ops.token: is easy to guess"),
        (XPAY, "AUTH__ENCRYPTION_KEY", "1", "auth.encryption_key: has fewer than 24 characters"),
        (PRODUCTION, "PAY__CONTENT_KEY", "a" * 32, "pay.content_key: is easy to guess"),
        (PRODUCTION, "PAY__PRIVATE_KEY", "1", "pay.private_key: must be a private key as PEM"),
        (XPAY, "PAY__PRIVATE_KEY", "1", "pay.private_key: must be a private key as PEM"),
        *[
            (PRODUCTION, "OPS__TOKEN", value, "ops.token: is easy to guess")
            for value in ("abcdefghijklmnopqrstuvwxyz", "secret" * 10, "qwertyuiopasdfghjklzxcvbnm")
        ],
        *[
            (settings, f"PAY__{name}", value, f"pay.{name.lower()}: is easy to guess")
            for settings in (PRODUCTION, XPAY)
            for name, value in (("APIV3_KEY", "ab" * 16), ("PUSH_AES_KEY", "A" * 43))
        ],
        *[
            (settings, f"PAY__{name}", "1", f"pay.{name.lower()}: has fewer than 16 characters")
            for settings in (PRODUCTION, XPAY)
            for name in ("APP_KEY", "PUSH_TOKEN")
        ],
        *[
            (PRODUCTION, name, "1", f"{dotted(name)}: has fewer than 16 characters")
            for name in (
                *("IM__SECRET_KEY", "IM__CALLBACK_TOKEN", "LIVE_STREAMING__PUSH_KEY"),
                *("LIVE_STREAMING__PLAY_KEY", "LIVE_STREAMING__CALLBACK_KEY"),
                "LIVE_STREAMING__SECRET_KEY",
            )
        ],
        (
            *(PRODUCTION, "WECHAT__APPS", '{"wx1": {"secret": "1"}}'),
            "wechat.apps.wx1.secret: has fewer than 16",
        ),
        # URLs without TLS
        *[
            (PRODUCTION, name, "http://example.com", f"{dotted(name)}: must begin with https://")
            for name in (
                *("SERVER__PUBLIC_URL", "WECHAT__API_BASE", "IM__API_BASE"),
                *("LIVE_STREAMING__API_BASE", "PAY__API_BASE", "UPLOADS__PUBLIC_URL"),
            )
        ],
    ],
)
def test_production_refuses_a_value(
    settings: dict[str, str], name: str, value: str, problem: str
) -> None:
    (found,) = problems(settings | {f"QLIVE_{name}": value})
    assert found.startswith(problem)
    assert len(value) < 20 or value not in found, "the message has no secret"


@pytest.mark.parametrize("kind", ["FACE", "COVER"])
def test_production_checks_pictures_only_with_a_bucket_for_them(kind: str) -> None:
    """At another host a picture could change after its check."""
    checks = {f"QLIVE_MODERATION__{kind}": "show_until_refused"}
    load(FILE, XPAY | UPLOADS | checks)
    names = ("bucket", "region", "secret_id", "secret_key")
    assert sorted(problems(XPAY | checks)) == [f"uploads.{name}: is missing" for name in names]


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
    names = ("apiv3_key", "mchid", "private_key", "public_key", "public_key_id", "serial_no")
    assert sorted(problems(XPAY, file)) == [f"pay.{name}: is missing" for name in names]


def test_production_refuses_every_generated_development_secret(secrets_file: Path) -> None:
    generated, _ = fill_in_secrets(load(FILE, {}), secrets_file)
    update = {name: getattr(generated, name) for name in ("wechat", "im", "live_streaming")}
    settings = load(FILE, PRODUCTION).model_copy(update=update)
    refused = {problem for problem in settings.problems() if "development value" in problem}
    assert {problem.split(":")[0] for problem in refused} == {
        "wechat.apps.wxca891295c56f2c79.secret",
        *("im.sdk_app_id", "im.secret_key", "im.callback_token"),
        *("live_streaming.push_domain", "live_streaming.play_domain"),
        *("live_streaming.push_key", "live_streaming.play_key", "live_streaming.callback_key"),
        *("live_streaming.secret_id", "live_streaming.secret_key"),
    }
