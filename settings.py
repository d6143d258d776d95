"""The settings, typed: from settings.yaml and, winning, from QLIVE_* in the environment."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from setting_sections import (
    Auth,
    Gifts,
    Im,
    Limits,
    Live,
    Logging,
    Micro,
    Mongodb,
    Ops,
    Pages,
    Pay,
    Presence,
    Realtime,
    Redis,
    Server,
    Wechat,
)

PREFIX = "QLIVE_"
# Every secret that a laptop makes up begins so, which keeps it out of production.
DEVELOPMENT = "dev-"
# Stands in deploy/secrets.env wherever something is to be filled in.
PLACEHOLDER = "REPLACE"
DEVELOPMENT_SDK_APP_ID = 1400000000
DEVELOPMENT_MCHID = "1900000109"
DEVELOPMENT_OFFER = "1450000001"
SIMULATORS_KEY_ID = "PUB_KEY_ID_SIMULATOR"
EXAMPLES = (
    str(DEVELOPMENT_SDK_APP_ID),
    DEVELOPMENT_MCHID,
    DEVELOPMENT_OFFER,
    SIMULATORS_KEY_ID,
    *(Live().push_domain, Live().play_domain),
)


PAY_KEYS = {
    "jsapi": {
        *("content_key", "mchid", "serial_no", "private_key", "apiv3_key"),
        *("public_key_id", "public_key"),
    },
    "xpay": {"content_key", "offer_id", "app_key", "push_token", "push_aes_key"},
}
"""What production must bring, by provider."""


class BadSettings(Exception):
    """Every setting that is wrong, as "name: why", never with its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    environment: Literal["development", "production"] = "development"
    server: Server = Server()
    mongodb: Mongodb = Mongodb()
    redis: Redis = Redis()
    auth: Auth = Auth()
    wechat: Wechat = Wechat()
    im: Im = Im()
    live: Live = Live()
    pay: Pay = Pay()
    micro: Micro = Micro()
    presence: Presence = Presence()
    realtime: Realtime = Realtime()
    limits: Limits = Limits()
    pages: Pages = Pages()
    gifts: Gifts = Gifts()
    ops: Ops = Ops()
    logging: Logging = Logging()

    @classmethod
    def settings_customise_sources(
        cls, *_: Any, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` was given, not os.environ behind its back."""
        return (named["init_settings"],)

    def problems(self) -> list[str]:
        """What does not fit together, as "name: why"."""
        if self.server.workers > 1 and not self.redis.url:
            return ["redis.url: is empty, and server.workers of more than one need it"]
        if self.pay.provider == "xpay" and len(self.wechat.apps) > 1:
            return ["wechat.apps: has several, and the pushes of xpay are those of one"]
        return []

    def problems_in_production(self) -> list[str]:
        """What must not be so in production, as "name: why"; empty when it may start."""
        stand_ins = {
            "wechat.api_base": (self.wechat.api_base, "the simulator"),
            "im.api_base": (self.im.api_base, "the simulator"),
            "live.api_base": (self.live.api_base, "the simulator"),
            "pay.api_base": (self.pay.api_base, "the simulator"),
            "mongodb.uri": (self.mongodb.uri, "an embedded database"),
        }
        found = [
            f"{name}: is empty, and {what} is for development only"
            for name, (value, what) in stand_ins.items()
            if not value
        ]
        if self.pay.sandbox:
            found.append("pay.sandbox: is true, and payments of the sandbox are none")
        unfilled = _unfilled(self.model_dump(by_alias=True))
        found += [f"{name}: still says {PLACEHOLDER}" for name in unfilled]
        weak = {name: _weakness(value) for name, value in self._own_values().items()}
        return found + [f"{name}: {why}" for name, why in weak.items() if why]

    def _own_values(self) -> dict[str, str]:
        """By name, all that production must bring; the app list counts as one when it is empty."""
        apps = {
            f"wechat.apps.{app_id}.secret": app.secret for app_id, app in self.wechat.apps.items()
        }
        live = self.live.model_dump(exclude={"url_seconds", "api_base"})
        pay = self.pay.model_dump(include=PAY_KEYS[self.pay.provider])
        auth = {"auth.sealing_key": self.auth.sealing_key} if self.pay.provider == "xpay" else {}
        return {
            "server.public_url": self.server.public_url,
            **(apps or {"wechat.apps": ""}),
            "im.sdk_app_id": str(self.im.sdk_app_id or ""),
            "im.secret_key": self.im.secret_key,
            "im.callback_token": self.im.callback_token,
            **{f"live.{name}": value for name, value in live.items()},
            **{f"pay.{name}": value for name, value in pay.items()},
            **auth,
            "ops.token": self.ops.token,
        }


def _weakness(value: str) -> str | None:
    if not value:
        return "is missing"
    if value.startswith(DEVELOPMENT) or value in EXAMPLES:
        return "has the value of a development laptop"
    return None


def _unfilled(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The names of all values that hold a placeholder, or whose names do: an app's id is one."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _unfilled(value, f"{above}{key}.")
        elif PLACEHOLDER in f"{above}{key}{value}":
            yield f"{above}{key}"


def load(path: Path, env: Mapping[str, str]) -> Settings:
    """The settings of the file and the environment, or BadSettings with all that is wrong."""
    given = _over(_in_file(path), _in_environment(env))
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise BadSettings([_problem(found, env) for found in error.errors()]) from None
    production = settings.environment == "production"
    problems = settings.problems() + (settings.problems_in_production() if production else [])
    if problems:
        raise BadSettings(problems)
    return settings


def _in_file(path: Path) -> dict[str, Any]:
    try:
        given = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise BadSettings([f"{path}: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # Where, but not what: the line may hold a secret.
        mark = getattr(error, "problem_mark", None)
        raise BadSettings(
            [f"{path}: not YAML{f', line {mark.line + 1}' if mark else ''}"]
        ) from None
    if not isinstance(given, dict):
        raise BadSettings([f"{path}: must be sections with settings"])
    return {str(name): value for name, value in given.items()}


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The sections of both, key by key; what stands above wins."""
    merged = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(below[name], dict) and isinstance(above[name], dict):
            merged[name] = _over(below[name], above[name])
    return merged


def _in_environment(env: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in sorted(name for name in env if name.startswith(PREFIX)):
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = given
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise BadSettings([f"{name}: {PREFIX}{section.upper()} is set as a whole already"])
        place[key] = env[name]
    return given


def _problem(found: Any, env: Mapping[str, str]) -> str:
    where = [str(part) for part in found["loc"]]
    variable = PREFIX + "__".join(where).upper()
    given = sorted(name for name in env if f"{name}__".startswith(f"{variable}__"))
    name = ", ".join(given) or ".".join(where)
    unknown = found["type"] == "extra_forbidden"
    why = "unknown setting" if unknown else found["msg"].removeprefix("Value error, ")
    return f"{name}: {why}"
