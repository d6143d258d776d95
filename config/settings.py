"""All settings, and what production requires of them."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict
from zxcvbn import zxcvbn

from config.sections import (
    AgeVerificationSettings,
    AuthSettings,
    GivingSettings,
    ImSettings,
    LimitsSettings,
    LinksSettings,
    LiveStreamingSettings,
    LoggingSettings,
    MicroSettings,
    ModerationSettings,
    MongodbSettings,
    NoticesSettings,
    OpsSettings,
    PaySettings,
    RankingSettings,
    RealtimeSettings,
    RedisSettings,
    RetentionSettings,
    RoomsSettings,
    ServerSettings,
    UploadsSettings,
    WechatSettings,
    WithdrawSettings,
)

# Prefix of every generated development secret; production refuses it.
DEVELOPMENT = "dev-"
# The value of everything to be filled in in deploy/secrets.env.
PLACEHOLDER = "REPLACE"
DEVELOPMENT_SDK_APP_ID = 1400000000
DEVELOPMENT_MCHID = "1900000109"
DEVELOPMENT_BUCKET = "qlive-simulated-1250000000"
DEVELOPMENT_OFFER = "1450000001"
SIMULATOR_KEY_ID = "PUB_KEY_ID_SIMULATOR"
EXAMPLES = (
    str(DEVELOPMENT_SDK_APP_ID),
    DEVELOPMENT_MCHID,
    DEVELOPMENT_OFFER,
    DEVELOPMENT_BUCKET,
    SIMULATOR_KEY_ID,
    *(LiveStreamingSettings().push_domain, LiveStreamingSettings().play_domain),
)

OPEN_LOGIN = (
    "in development a login needs no proof of identity; set environment: production, or "
    "server.allow_remote_development: true if only trusted people reach this server"
)

PAY_KEYS = {
    "jsapi": {
        *("content_key", "mchid", "serial_no", "private_key", "apiv3_key"),
        *("public_key_id", "public_key"),
    },
    "xpay": {"content_key", "offer_id", "app_key", "push_token", "push_aes_key"},
}
"""Payment settings that production requires, by provider."""
MERCHANT_KEYS = PAY_KEYS["jsapi"] - {"content_key"}
"""Payment settings that withdrawals require in production, with either provider."""
VIRTUAL_GOODS = (
    "must be true when pay.provider is jsapi: WeChat requires virtual goods, such as gold, to be "
    "sold by virtual payment (pay.provider: xpay) on every terminal; true says that nothing "
    "virtual is sold here"
)
ADULTS_ONLY = (
    "must be faceid, manual or none in production: China's rules permit only adults whose identity "
    "is verified to tip; none says that this is ensured elsewhere"
)
PAY_SECRETS = {"private_key", "apiv3_key", "app_key", "push_token", "push_aes_key"}
"""Checked if set, also those of the other provider, whose orders may still be open."""
OWN_LENGTH = 24
"""Minimum length of secrets that only we choose. One answer signed with a weak `content_key` is
enough to guess it, without a limit on attempts. `openssl rand -hex 16` has 32 characters."""
SHARED_LENGTH = 16
"""Minimum length of secrets that WeChat or Tencent issue, or whose format they limit (a push
token: 3 to 32)."""
OWN_SECRETS = {"ops.token", "auth.encryption_key", "pay.content_key"}
SHARED_SECRETS = {
    *("im.secret_key", "im.callback_token", "age_verification.secret_key"),
    *("live_streaming.push_key", "live_streaming.play_key"),
    *("live_streaming.callback_key", "live_streaming.secret_key"),
    *("pay.apiv3_key", "pay.app_key", "pay.push_token", "pay.push_aes_key"),
}
CHECKED_CHARACTERS = 24
"""Characters at the beginning of a secret that must be hard to guess; it takes 4 ms."""
LEAST_SCORE = 4
"""Of zxcvbn, from 0 to 4: at least 10^10 guesses. Sequences of letters, digits or keys have less,
as has each of its 30,000 common passwords."""


class Settings(BaseModel):
    """The settings of one process, by section; read by config/loading.py."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Literal["development", "production"] = "development"
    server: ServerSettings = ServerSettings()
    mongodb: MongodbSettings = MongodbSettings()
    redis: RedisSettings = RedisSettings()
    auth: AuthSettings = AuthSettings()
    wechat: WechatSettings = WechatSettings()
    links: LinksSettings = LinksSettings()
    im: ImSettings = ImSettings()
    live_streaming: LiveStreamingSettings = LiveStreamingSettings()
    uploads: UploadsSettings = UploadsSettings()
    pay: PaySettings = PaySettings()
    giving: GivingSettings = GivingSettings()
    age_verification: AgeVerificationSettings = AgeVerificationSettings()
    withdraw: WithdrawSettings = WithdrawSettings()
    moderation: ModerationSettings = ModerationSettings()
    micro: MicroSettings = MicroSettings()
    rooms: RoomsSettings = RoomsSettings()
    notices: NoticesSettings = NoticesSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    limits: LimitsSettings = LimitsSettings()
    ranking: RankingSettings = RankingSettings()
    retention: RetentionSettings = RetentionSettings()
    ops: OpsSettings = OpsSettings()
    logging: LoggingSettings = LoggingSettings()

    @property
    def rankings_are_public(self) -> bool:
        """Whether rankings show the users who agreed; otherwise they are empty."""
        default = "off" if self.environment == "production" else "consented"
        return (self.ranking.public or default) == "consented"

    @property
    def withdrawals_are_on(self) -> bool:
        """Whether new withdrawals are taken; those that are open are carried on in any case."""
        default = "off" if self.environment == "production" else "on"
        return (self.withdraw.enabled or default) == "on"

    def at(self, address: str, simulator_url: str) -> Self:
        """Return these settings for a server at `address`, which is its public URL if none is set.

        The simulator stands in for services without an address of their own; its URL is "" in
        production.
        """
        missing = {"wechat": "", "im": "", "live_streaming": "/live", "uploads": "/cos", "pay": ""}
        missing["age_verification"] = "/faceid"
        filled: dict[str, BaseModel] = {
            name: section.model_copy(update={"api_base": f"{simulator_url}{path}"})
            for name, path in missing.items()
            if simulator_url and not (section := getattr(self, name)).api_base
        }
        if not self.server.public_url:
            filled["server"] = self.server.model_copy(update={"public_url": address})
        return self.model_copy(update=filled)

    def problems(self) -> list[str]:
        """Return the reasons for which the server does not start, as "name: why"."""
        in_production = self.environment == "production"
        found = self._problems_in_production() if in_production else self._problems_in_development()
        if self.pay.provider == "xpay" and len(self.wechat.apps) > 1:
            found.append("wechat.apps: must have one app when pay.provider is xpay")
        if (words := self.moderation.forbidden_words_file) and not Path(words).is_file():
            found.append("moderation.forbidden_words_file: is not the path of a file")
        return found

    def _problems_in_development(self) -> list[str]:
        if self.server.allow_remote_development:
            return []
        found = []
        if not _is_loopback(self.server.host):
            found.append(f"server.host: is not 127.0.0.1, ::1 or localhost, and {OPEN_LOGIN}")
        if not _is_local(self.mongodb.uri):
            found.append(f"mongodb.uri: names another machine, and {OPEN_LOGIN}")
        if not _is_local(self.server.public_url):
            found.append(f"server.public_url: names another machine, and {OPEN_LOGIN}")
        return found

    def _problems_in_production(self) -> list[str]:
        uses_faceid = self.age_verification.provider == "faceid"
        names = ["wechat", "im", "live_streaming", "pay"]
        if uses_faceid:
            names.append("age_verification")
        apis = {f"{name}.api_base": getattr(self, name).api_base for name in names}
        found = [
            f"{name}: is empty, and the simulator is for development only"
            for name, url in apis.items()
            if not url
        ]
        if not self.mongodb.uri:
            found.append("mongodb.uri: is empty, and an embedded database is for development only")
        addresses = {
            **apis,
            "server.public_url": self.server.public_url,
            "uploads.api_base": self.uploads.api_base,
            "uploads.public_url": self.uploads.public_url,
        }
        found += [
            f"{name}: must begin with https://, since secrets or checked pictures pass it"
            for name, url in addresses.items()
            if url.startswith("http://")
        ]
        if self.pay.sandbox:
            found.append("pay.sandbox: must be false in production: sandbox payments move no money")
        if self.pay.provider == "jsapi" and not self.pay.jsapi_sells_goods_only:
            found.append(f"pay.jsapi_sells_goods_only: {VIRTUAL_GOODS}")
        found += [
            f"giving.{name}: must be above 0 in production: China's rules on tipping require caps"
            for name in ("gift_gold", "day_gold", "month_gold")
            if not getattr(self.giving, name)
        ]
        if not self.age_verification.provider:
            found.append(f"age_verification.provider: {ADULTS_ONLY}")
        unfilled = _unfilled(self.model_dump(by_alias=True))
        found += [f"{name}: still has the placeholder {PLACEHOLDER}" for name in unfilled]
        weak = {name: _problem_of(name, value) for name, value in self._own_values().items()}
        return found + [f"{name}: {why}" for name, why in weak.items() if why]

    def _own_values(self) -> dict[str, str]:
        """Return the settings that production has to set, and the optional secrets that are set.

        An empty app list counts as one setting.
        """
        apps = {
            f"wechat.apps.{app_id}.secret": app.secret for app_id, app in self.wechat.apps.items()
        }
        live_streaming = self.live_streaming.model_dump(exclude={"api_base"})
        withdraws = self.withdrawals_are_on
        required = PAY_KEYS[self.pay.provider] | (MERCHANT_KEYS if withdraws else set())
        checks_pictures = any(map(self.moderation.is_checked, ("face", "cover")))
        if checks_pictures:
            required = required | {"push_token"}  # the results come by the message push
        if self.notices.template_id:
            required = required | {"push_token", "push_aes_key"}  # consents come by it, encrypted
        pay = self.pay.model_dump(include=required | PAY_SECRETS)
        pay = {name: value for name, value in pay.items() if value or name in required}
        uploads: dict[str, str] = {}
        if checks_pictures or self.uploads.bucket:  # elsewhere they could change after their check
            names = {"bucket", "region", "secret_id", "secret_key"}
            uploads = self.uploads.model_dump(include=names)
        faceid = ("secret_id", "secret_key") if self.age_verification.provider == "faceid" else ()
        return {
            "server.public_url": self.server.public_url,
            **(apps or {"wechat.apps": ""}),
            "im.sdk_app_id": str(self.im.sdk_app_id or ""),
            "im.secret_key": self.im.secret_key,
            "im.callback_token": self.im.callback_token,
            **{f"live_streaming.{name}": value for name, value in live_streaming.items()},
            **{f"pay.{name}": value for name, value in pay.items()},
            **{f"uploads.{name}": value for name, value in uploads.items()},
            **{f"age_verification.{name}": getattr(self.age_verification, name) for name in faceid},
            "auth.encryption_key": self.auth.encryption_key,
            **({"ops.token": self.ops.token} if self.ops.token else {}),
        }


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches this address; of names, only localhost counts."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local(uri: str) -> bool:
    """Return whether the URI is empty, or every host (address, socket) is on this machine."""
    scheme, _, rest = uri.partition("://")
    members = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")[2].split(",")
    hosts = [re.sub(r":\d*$", "", member).strip("[]") for member in members if member]
    return scheme != "mongodb+srv" and all(
        _is_loopback(host) or host.lower().endswith(".sock") for host in hosts
    )


def _problem_of(name: str, value: str) -> str | None:
    if not value:
        return "is missing"
    if value.startswith(DEVELOPMENT) or value in EXAMPLES:
        return "has a development value"
    if name == "pay.private_key" and "PRIVATE KEY-----" not in value:
        return "must be a private key as PEM text"
    return None if PLACEHOLDER in f"{name}{value}" else weakness(name, value)


def _unfilled(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield names of settings with a placeholder in their value or name (an app's id is a name)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _unfilled(value, f"{above}{key}.")
        elif PLACEHOLDER in f"{above}{key}{value}":
            yield f"{above}{key}"


def weakness(name: str, secret: str) -> str | None:
    """Return why the secret of a setting is too weak, None if it is strong enough or no secret."""
    is_app_secret = name.startswith("wechat.apps.") and name.endswith(".secret")
    length = 0
    if name in OWN_SECRETS:
        length = OWN_LENGTH
    elif is_app_secret or name in SHARED_SECRETS:
        length = SHARED_LENGTH
    if len(secret) < length:
        return (
            f"has fewer than {length} characters, so that its signatures or logins could "
            "be forged by guessing it"
        )
    if length and is_easy_to_guess(secret[:CHECKED_CHARACTERS]):
        return "is easy to guess: repetitions, sequences or common words; take a random value"
    return None


def is_easy_to_guess(text: str, *names: str) -> bool:
    """Return whether few guesses find `text`, for an attacker who knows the `names`.

    The time grows with the square of its length.
    """
    score: int = zxcvbn(text, user_inputs=names)["score"]
    return score < LEAST_SCORE
