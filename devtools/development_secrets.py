"""Development secrets: derived from a seed that the first start generates and stores."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from Crypto.PublicKey import RSA

from config.sections import SettingsSection
from config.settings import (
    DEVELOPMENT,
    DEVELOPMENT_BUCKET,
    DEVELOPMENT_MCHID,
    DEVELOPMENT_OFFER,
    DEVELOPMENT_SDK_APP_ID,
    SIMULATOR_KEY_ID,
    Settings,
)

AnySection = TypeVar("AnySection", bound=SettingsSection)


def fill_in_secrets(settings: Settings, file: Path) -> tuple[Settings, str]:
    """Fill empty settings with development secrets; settings with a value stay.

    Also returns the PEM key with which the simulator acts as WeChat Pay. For development only. The
    first call writes the file, with mode 0600, and blocks: two RSA keys take a second.
    """
    stored = _stored(file)
    seed, platform = stored["seed"].encode(), RSA.import_key(stored["platform_key"])

    def digest(name: str) -> str:
        return hmac.new(seed, name.encode(), hashlib.sha256).hexdigest()

    def texts(section: str, *names: str) -> dict[str, str]:
        """Return 32 characters each: required of an APIv3 key, enough for the others."""
        return {name: DEVELOPMENT + digest(f"{section}.{name}")[:28] for name in names}

    live_streaming = texts(
        "live_streaming", "push_key", "play_key", "callback_key", "secret_id", "secret_key"
    )
    pay = {
        **texts("pay", "content_key", "app_key", "push_token", "apiv3_key"),
        "push_aes_key": "dev" + digest("pay.push_aes_key")[:40],
        "serial_no": digest("pay.serial_no")[:40].upper(),
        "private_key": stored["merchant_key"],
        "mchid": DEVELOPMENT_MCHID,
        "offer_id": DEVELOPMENT_OFFER,
        "public_key_id": SIMULATOR_KEY_ID,
        "public_key": _pem(platform.public_key()),
    }
    im = {**texts("im", "secret_key", "callback_token"), "sdk_app_id": DEVELOPMENT_SDK_APP_ID}
    apps = {
        app_id: _fill(app, texts(f"app.{app_id}", "secret"))
        for app_id, app in settings.wechat.apps.items()
    }
    uploads = {
        **texts("uploads", "secret_id", "secret_key"),
        "bucket": DEVELOPMENT_BUCKET,
        "region": "ap-guangzhou",
    }
    sections = {
        "wechat": settings.wechat.model_copy(update={"apps": apps}),
        "im": _fill(settings.im, im),
        "live_streaming": _fill(settings.live_streaming, live_streaming),
        "uploads": _fill(settings.uploads, uploads),
        "pay": _fill(settings.pay, pay),
        "age_verification": _fill(
            settings.age_verification, texts("age_verification", "secret_id", "secret_key")
        ),
        "auth": _fill(settings.auth, texts("auth", "encryption_key")),
    }
    return settings.model_copy(update=sections), stored["platform_key"]


def _stored(file: Path) -> dict[str, str]:
    """Return the seed and the keys; generate them if there is no file, or it has no seed."""
    stored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if "seed" in stored:
        return stored
    merchant, platform = (_pem(RSA.generate(2048)) for _ in range(2))
    stored = {"seed": secrets.token_hex(), "merchant_key": merchant, "platform_key": platform}
    file.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when it is complete: a kill leaves no partial file.
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(stored, indent=1))
    temporary.replace(file)
    return stored


def _pem(key: RSA.RsaKey) -> str:
    return key.export_key(pkcs=8).decode()


def _fill(section: AnySection, values: Mapping[str, object]) -> AnySection:
    empty = {name: value for name, value in values.items() if not getattr(section, name)}
    return section.model_copy(update=empty)
