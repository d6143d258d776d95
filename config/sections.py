"""Sections of the settings: every key with its type, default and validation."""

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MIN_TRANSFER_FEN = 10
"""Minimum of a transfer of WeChat Pay, in fen."""


def _from_json(value: object) -> object:
    """Parse a list or map from an environment variable."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be JSON") from None


def _matching(pattern: str, what: str) -> AfterValidator:
    """Refuse text that does not match as a whole; the error says "must " and `what`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must {what}")
        return value

    return AfterValidator(check)


# Not in repr: a settings object may appear in a log line or a traceback.
Secret = Annotated[str, Field(repr=False)]
Url = Annotated[
    str,
    _matching(r"|https?://[^/\s]+\S*", "be a URL that begins with http:// or https://"),
    AfterValidator(lambda url: url.rstrip("/")),
]
Origin = Annotated[str, _matching(r"https?://[^/\s]+", "be an origin like https://example.com")]
# These two may hold a password.
MongodbUri = Annotated[
    Secret, _matching(r"|mongodb(\+srv)?://.*", "begin with mongodb:// or mongodb+srv://")
]
RedisUrl = Annotated[
    Secret, _matching("|(rediss?|unix)://.*", "begin with redis://, rediss:// or unix://")
]
Apiv3Key = Annotated[Secret, _matching("|[ -~]{32}", "be the 32 characters of an APIv3 key")]
AesKey = Annotated[
    Secret, _matching("|[0-9A-Za-z+/]{43}", "be the 43 characters of an EncodingAESKey")
]
Origins = Annotated[list[Origin], BeforeValidator(_from_json)]
Address = Annotated[str, AfterValidator(lambda value: str(ipaddress.ip_address(value)))]
Addresses = Annotated[list[Address], BeforeValidator(_from_json)]
Bucket = Annotated[str, _matching(r"|[a-z0-9-]+-[0-9]+", "be a bucket like name-1250000000")]
Host = Annotated[str, _matching(r"[^/\s]+", "be a host like thirdwx.qlogo.cn")]
Hosts = Annotated[list[Host], BeforeValidator(_from_json)]
Page = Annotated[str, _matching(r"[\w-]+(/[\w-]+)*", "be a page like pages/room/room")]
Keys = Annotated[dict[str, str], BeforeValidator(_from_json)]
NOTICE_FIELDS = {"title": r"thing\d+", "host": r"thing\d+", "time": r"(time|date)\d+"}
"""Values of a notice, and the pattern of each one's name in the template."""


def _check_notice_fields(fields: dict[str, str]) -> dict[str, str]:
    types = NOTICE_FIELDS.items()
    if fields.keys() != NOTICE_FIELDS.keys() or not all(
        re.fullmatch(pattern, fields[name]) for name, pattern in types
    ):
        raise ValueError("must be fields like title: thing1, host: thing2, time: time3")
    return fields


Seconds = Annotated[float, Field(gt=0)]
OffOrOn = BeforeValidator(lambda value: ("off", "on")[value] if isinstance(value, bool) else value)
"""YAML reads off and on without quotes as booleans."""
RankingMode = Annotated[Literal["", "off", "consented"], OffOrOn]
Policy = Annotated[Literal["off", "hide_until_checked", "show_until_refused"], OffOrOn]
Switch = Annotated[Literal["", "off", "on"], OffOrOn]
Fen = Annotated[int, Field(gt=0, le=10_000_000_000)]
FenOrOff = Annotated[int, Field(ge=0, le=10_000_000_000)]
Score = Annotated[int, Field(ge=0, le=100)]
CountOrOff = Annotated[int, Field(ge=0)]


class SettingsSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(SettingsSection):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: Url = ""
    allowed_origins: Origins = []
    trusted_proxies: Addresses = ["127.0.0.1"]
    drain_seconds: float = Field(default=20, ge=0)
    allow_remote_development: bool = False


class MongodbSettings(SettingsSection):
    uri: MongodbUri = ""
    data_dir: Path = Path("var/mongo")
    database: str = Field(default="qlive", pattern=r"^[A-Za-z0-9_-]{1,63}$")


class RedisSettings(SettingsSection):
    url: RedisUrl = ""


class AuthSettings(SettingsSection):
    encryption_key: Secret = ""


class AppSettings(SettingsSection):
    secret: Secret = ""


AppsSettings = Annotated[dict[str, AppSettings], BeforeValidator(_from_json)]


class WechatSettings(SettingsSection):
    api_base: Url = ""
    apps: AppsSettings = {"wxca891295c56f2c79": AppSettings()}


class LinksSettings(SettingsSection):
    page: Page = "pages/room/room"


class ImSettings(SettingsSection):
    api_base: Url = ""
    sdk_app_id: int = Field(default=0, ge=0)
    secret_key: Secret = ""
    admin: str = Field(default="administrator", min_length=1)
    callback_token: Secret = ""
    relay: bool = True
    mute_all: bool = True


class LiveStreamingSettings(SettingsSection):
    push_domain: str = "push.example.com"
    play_domain: str = "play.example.com"
    push_key: Secret = ""
    play_key: Secret = ""
    callback_key: Secret = ""
    api_base: Url = ""
    secret_id: Secret = ""
    secret_key: Secret = ""


class UploadsSettings(SettingsSection):
    bucket: Bucket = ""
    region: str = ""
    secret_id: Secret = ""
    secret_key: Secret = ""
    api_base: Url = ""
    public_url: Url = ""
    allowed_hosts: Hosts = []

    @property
    def endpoint(self) -> str:
        """Base URL of the bucket."""
        return self.api_base or f"https://{self.bucket}.cos.{self.region}.myqcloud.com"

    @property
    def address(self) -> str:
        """Base of the addresses at which pictures are shown."""
        return self.public_url or self.endpoint


class PaySettings(SettingsSection):
    provider: Literal["jsapi", "xpay"] = "jsapi"
    jsapi_sells_goods_only: bool = False
    api_base: Url = ""
    content_key: Secret = ""
    mchid: str = ""
    serial_no: str = ""
    private_key: Secret = ""
    apiv3_key: Apiv3Key = ""
    public_key_id: str = ""
    public_key: str = ""
    platform_keys: Keys = {}
    offer_id: str = ""
    app_key: Secret = ""
    sandbox: bool = False
    push_token: Secret = ""
    push_aes_key: AesKey = ""


class GivingSettings(SettingsSection):
    gift_gold: CountOrOff = 0
    day_gold: CountOrOff = 0
    month_gold: CountOrOff = 0
    cool_off_gold: CountOrOff = 0


class AgeVerificationSettings(SettingsSection):
    provider: Literal["", "none", "manual", "faceid"] = ""
    api_base: Url = ""
    secret_id: Secret = ""
    secret_key: Secret = ""


class WithdrawSettings(SettingsSection):
    enabled: Switch = ""
    maturity_days: Annotated[float, Field(ge=0, le=366)] = 7
    ios_maturity_days: Annotated[float, Field(ge=0, le=366)] = 45
    min_fen: Annotated[Fen, Field(ge=MIN_TRANSFER_FEN)] = 100
    max_fen: Annotated[Fen, Field(ge=MIN_TRANSFER_FEN)] = 20_000
    user_day_fen: Fen = 200_000
    day_fen: Fen = 5_000_000
    auto_fen: FenOrOff = 0
    second_person_fen: FenOrOff = 100_000
    scene_id: str = Field(default="1005", pattern="^[0-9]{1,36}$")
    position: str = Field(default="主播", min_length=1, max_length=32)
    remark: str = Field(default="直播服务报酬", min_length=1, max_length=32)


class ModerationSettings(SettingsSection):
    nickname: Policy = "hide_until_checked"
    room_name: Policy = "hide_until_checked"
    face: Policy = "off"
    cover: Policy = "off"
    forbidden_words_file: str = ""
    stream_review_score: Score = 60
    stream_block_score: Score = 90
    risk_rank_high: Annotated[int, Field(ge=0, le=4)] = 0

    def is_checked(self, kind: str) -> bool:
        """Return whether values of this kind, a field of this section, are checked."""
        return bool(getattr(self, kind) != "off")


class MicroSettings(SettingsSection):
    admission: Literal["applied", "invited", "open"] = "applied"
    removed_seconds: Annotated[float, Field(ge=0, le=3600)] = 60


class RoomsSettings(SettingsSection):
    private_members: Annotated[int, Field(ge=2)] = 3


class NoticesSettings(SettingsSection):
    template_id: str = ""
    fields: Annotated[Keys, AfterValidator(_check_notice_fields)] = {
        "title": "thing1",
        "host": "thing2",
        "time": "time3",
    }
    neutral_title: str = Field(default="红娘开播了", min_length=1, max_length=20)
    per_second: Annotated[int, Field(gt=0, le=100)] = 50
    user_day: Annotated[int, Field(gt=0)] = 3


class RealtimeSettings(SettingsSection):
    check_seconds: Seconds = 1
    heartbeat_seconds: Seconds = 25

    @property
    def silent_seconds(self) -> float:
        """Longest silence of an open socket: after three heartbeats without data it is closed."""
        return 3 * self.heartbeat_seconds


class LimitsSettings(SettingsSection):
    factor: Annotated[float, Field(ge=0, le=1000)] = 1


class RankingSettings(SettingsSection):
    public: RankingMode = ""


class RetentionSettings(SettingsSection):
    audit_days: CountOrOff = 400
    moderation_days: CountOrOff = 180
    unpaid_order_days: CountOrOff = 90
    chat_days: CountOrOff = 60


class OpsSettings(SettingsSection):
    token: Secret = ""
    second_person_gold: CountOrOff = 10_000


class LoggingSettings(SettingsSection):
    level: Literal["debug", "info", "warning", "error"] = "info"
    as_json: bool = Field(default=False, alias="json")  # pydantic models have a method `json`
