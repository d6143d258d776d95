"""Development secrets: generated on the first start, stored in a file and reused."""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from Crypto.PublicKey import RSA

from config.sections import SettingsSection
from config.settings import (
    DEVELOPMENT,
    DEVELOPMENT_MCHID,
    DEVELOPMENT_OFFER,
    DEVELOPMENT_SDK_APP_ID,
    SIMULATOR_KEY_ID,
    Settings,
)

AnySection = TypeVar("AnySection", bound=SettingsSection)


@dataclass(frozen=True)
class DevSecrets:
    """PEM keys with which the simulator acts as WeChat Pay."""

    merchant_public_key: str
    platform_private_key: str = field(repr=False)


def fill_in_secrets(settings: Settings, file: Path) -> tuple[Settings, DevSecrets]:
    """Fills empty settings with development secrets; settings with a value stay.

    For development only. The file is written, with mode 0600, when a secret is new. Blocks: two RSA
    keys take a second.
    """
    generated = _load_or_generate(_generators(settings), file)
    platform = RSA.import_key(generated["platform.private_key"])
    fixed: dict[str, str | int] = {
        "im.sdk_app_id": DEVELOPMENT_SDK_APP_ID,
        "pay.mchid": DEVELOPMENT_MCHID,
        "pay.offer_id": DEVELOPMENT_OFFER,
        "pay.public_key_id": SIMULATOR_KEY_ID,
        "pay.public_key": _pem(platform.public_key()),
    }
    values = generated | fixed
    apps = {
        app_id: _fill(app, f"app.{app_id}", values) for app_id, app in settings.wechat.apps.items()
    }
    pay = _fill(settings.pay, "pay", values)
    filled = settings.model_copy(
        update={
            "wechat": settings.wechat.model_copy(update={"apps": apps}),
            "im": _fill(settings.im, "im", values),
            "live": _fill(settings.live, "live", values),
            "pay": pay,
            "auth": _fill(settings.auth, "auth", values),
        }
    )
    merchant = RSA.import_key(pay.private_key).public_key()
    return filled, DevSecrets(_pem(merchant), generated["platform.private_key"])


def _generators(settings: Settings) -> dict[str, Callable[[], str]]:
    live = ("push_key", "play_key", "callback_key", "secret_id", "secret_key")
    texts = (
        *("im.secret_key", "im.callback_token", "auth.encryption_key"),
        *("pay.content_key", "pay.app_key", "pay.push_token"),
    )
    return {
        **{f"app.{app_id}.secret": _random_text for app_id in settings.wechat.apps},
        **{f"live.{name}": _random_text for name in live},
        **dict.fromkeys(texts, _random_text),
        "pay.apiv3_key": _random_text,
        "pay.push_aes_key": lambda: "dev" + secrets.token_hex(20),
        "pay.serial_no": lambda: secrets.token_hex(20).upper(),
        "pay.private_key": _private_key,
        "platform.private_key": _private_key,
    }


def _random_text() -> str:
    """32 characters: required of an APIv3 key, enough for the others."""
    return DEVELOPMENT + secrets.token_hex(14)


def _private_key() -> str:
    return _pem(RSA.generate(2048))


def _pem(key: RSA.RsaKey) -> str:
    return key.export_key(pkcs=8).decode()


def _load_or_generate(generators: dict[str, Callable[[], str]], file: Path) -> dict[str, str]:
    stored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    generated = {name: generate() for name, generate in generators.items() if name not in stored}
    if generated:
        _save({**stored, **generated}, file)
    return {**stored, **generated}


def _save(values: dict[str, str], file: Path) -> None:
    """Writes a temporary file and renames it: a kill leaves no partial file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(values, indent=1))
    temporary.replace(file)


def _fill(section: AnySection, name: str, values: Mapping[str, str | int]) -> AnySection:
    empty = [key for key in type(section).model_fields if not getattr(section, key)]
    filled = {key: values[f"{name}.{key}"] for key in empty if f"{name}.{key}" in values}
    return section.model_copy(update=filled)
