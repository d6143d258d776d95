"""Settings with which production starts; deploy/settings.yaml and secrets.env filled in."""

import shlex
from hashlib import sha256
from pathlib import Path

from tests.support.nginx import DEPLOY, deploy_file


def secret(name: str) -> str:
    """32 characters that look random, always the same for one name."""
    return sha256(name.encode()).hexdigest()[:32]


PRODUCTION = {
    "QLIVE_ENVIRONMENT": "production",
    "QLIVE_SERVER__PUBLIC_URL": "https://live.qlive.cn",
    "QLIVE_MONGODB__URI": "mongodb://db/?replicaSet=rs0",
    "QLIVE_WECHAT__API_BASE": "https://api.weixin.qq.com",
    "QLIVE_WECHAT__APPS": f'{{"wx1": {{"secret": "{secret("app")}"}}}}',
    "QLIVE_IM__API_BASE": "https://console.tim.qq.com",
    "QLIVE_IM__SDK_APP_ID": "1400000001",
    "QLIVE_IM__SECRET_KEY": secret("im"),
    "QLIVE_IM__CALLBACK_TOKEN": secret("im callback"),
    "QLIVE_LIVE_STREAMING__PUSH_DOMAIN": "push.qlive.cn",
    "QLIVE_LIVE_STREAMING__PLAY_DOMAIN": "play.qlive.cn",
    "QLIVE_LIVE_STREAMING__PUSH_KEY": secret("push"),
    "QLIVE_LIVE_STREAMING__PLAY_KEY": secret("play"),
    "QLIVE_LIVE_STREAMING__CALLBACK_KEY": secret("live callback"),
    "QLIVE_LIVE_STREAMING__API_BASE": "https://live.tencentcloudapi.com",
    "QLIVE_LIVE_STREAMING__SECRET_ID": "AKIDlive",
    "QLIVE_LIVE_STREAMING__SECRET_KEY": secret("live"),
    "QLIVE_PAY__API_BASE": "https://api.mch.weixin.qq.com",
    "QLIVE_PAY__JSAPI_SELLS_GOODS_ONLY": "true",
    "QLIVE_PAY__CONTENT_KEY": secret("content"),
    "QLIVE_PAY__MCHID": "1900000110",
    "QLIVE_PAY__SERIAL_NO": "5157F09E",
    "QLIVE_PAY__PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
    "QLIVE_PAY__APIV3_KEY": secret("apiv3"),
    "QLIVE_PAY__PUBLIC_KEY_ID": "PUB_KEY_ID_1",
    "QLIVE_PAY__PUBLIC_KEY": "p1",
    "QLIVE_GIVING__GIFT_GOLD": "20000",
    "QLIVE_GIVING__DAY_GOLD": "50000",
    "QLIVE_GIVING__MONTH_GOLD": "300000",
    "QLIVE_AGE_VERIFICATION__PROVIDER": "manual",
    "QLIVE_AUTH__ENCRYPTION_KEY": secret("encryption"),
    "QLIVE_OPS__TOKEN": secret("ops"),
}

UPLOADS = {
    "QLIVE_UPLOADS__BUCKET": "qlive-1250000001",
    "QLIVE_UPLOADS__REGION": "ap-guangzhou",
    "QLIVE_UPLOADS__SECRET_ID": "AKIDuploads",
    "QLIVE_UPLOADS__SECRET_KEY": secret("uploads"),
}

FACEID = {
    "QLIVE_AGE_VERIFICATION__PROVIDER": "faceid",
    "QLIVE_AGE_VERIFICATION__API_BASE": "https://faceid.tencentcloudapi.com",
    "QLIVE_AGE_VERIFICATION__SECRET_ID": "AKIDfaceid",
    "QLIVE_AGE_VERIFICATION__SECRET_KEY": secret("faceid"),
}

XPAY = {
    **{name: value for name, value in PRODUCTION.items() if not name.startswith("QLIVE_PAY__")},
    "QLIVE_PAY__PROVIDER": "xpay",
    "QLIVE_PAY__API_BASE": "https://api.mch.weixin.qq.com",
    "QLIVE_PAY__CONTENT_KEY": secret("content"),
    "QLIVE_PAY__OFFER_ID": "1450000002",
    "QLIVE_PAY__APP_KEY": secret("xpay"),
    "QLIVE_PAY__PUSH_TOKEN": secret("xpay push"),
    "QLIVE_PAY__PUSH_AES_KEY": secret("aes") + secret("more")[:11],
}


MINE = secret("mine")
AES_KEY = secret("aes") + secret("more")[:11]
VALUES = {
    'public_url: ""': "public_url: https://live.qlive.test",
    "sdk_app_id: 0 ": "sdk_app_id: 1400012345 ",
    'push_domain: ""': "push_domain: push.qlive.test",
    'play_domain: ""': "play_domain: play.qlive.test",
    'provider: "" ': "provider: manual ",
    'offer_id: ""': "offer_id: '1450012345'",
    'bucket: ""': "bucket: qlive-1250000002",
    'region: ""': "region: ap-guangzhou",
}


def fill_in(file: Path) -> None:
    """Writes deploy/settings.yaml with values with which production starts."""
    file.write_text(deploy_file("settings.yaml", VALUES))


def environment(text: str) -> dict[str, str]:
    """Parses an environment file like systemd."""
    return dict(word.split("=", 1) for word in shlex.split(text, comments=True))


def shipped_secrets() -> dict[str, str]:
    return environment((DEPLOY / "secrets.env").read_text())


def filled_secrets() -> dict[str, str]:
    """deploy/secrets.env by environment variable, without placeholders."""
    changes = {
        "REPLACE/WITH/THE/43/CHARACTERS/FROM/WECHAT/": AES_KEY,
        "REPLACE-WITH-THE-APPID": "wx1",
    }
    return environment(deploy_file("secrets.env", {**changes, "REPLACE": MINE}))
