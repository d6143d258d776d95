"""The secrets of a development laptop: made up at the first start, kept in a file, read again."""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from Crypto.PublicKey import RSA

from setting_sections import App, Section
from settings import (
    DEVELOPMENT,
    DEVELOPMENT_MCHID,
    DEVELOPMENT_OFFER,
    DEVELOPMENT_SDK_APP_ID,
    SIMULATORS_KEY_ID,
    Settings,
)

AnySection = TypeVar("AnySection", bound=Section)


@dataclass(frozen=True)
class DevSecrets:
    """What the simulator needs to know to be WeChat Pay, as PEM text."""

    merchant_public_key: str
    platform_private_key: str = field(repr=False)


def fill(settings: Settings, file: Path) -> tuple[Settings, DevSecrets]:
    """Fills in what the settings leave empty; what they give stays. For development only.

    The file is written with mode 0600 when a secret is new. Blocks: two RSA keys take a second.
    """
    made = _kept_or_made(_makers(settings), file)
    platform = RSA.import_key(made["platform.private_key"])
    fixed: dict[str, str | int] = {
        "im.sdk_app_id": DEVELOPMENT_SDK_APP_ID,
        "pay.mchid": DEVELOPMENT_MCHID,
        "pay.offer_id": DEVELOPMENT_OFFER,
        "pay.public_key_id": SIMULATORS_KEY_ID,
        "pay.public_key": _pem(platform.public_key()),
    }
    values = made | fixed
    apps = {app_id: _fill(app, f"app.{app_id}", values) for app_id, app in _apps(settings)}
    pay = _fill(settings.pay, "pay", values)
    filled = settings.model_copy(
        update={
            "wechat": settings.wechat.model_copy(update={"apps": apps}),
            "im": _fill(settings.im, "im", values),
            "live": _fill(settings.live, "live", values),
            "pay": pay,
            "auth": _fill(settings.auth, "auth", values),
            "ops": _fill(settings.ops, "ops", values),
        }
    )
    merchant = RSA.import_key(pay.private_key).public_key()
    return filled, DevSecrets(_pem(merchant), made["platform.private_key"])


def _apps(settings: Settings) -> list[tuple[str, App]]:
    return list(settings.wechat.apps.items())


def _makers(settings: Settings) -> dict[str, Callable[[], str]]:
    live = ("push_key", "play_key", "callback_key", "secret_id", "secret_key")
    texts = (
        *("im.secret_key", "im.callback_token", "ops.token", "auth.sealing_key"),
        *("pay.content_key", "pay.app_key", "pay.push_token"),
    )
    return {
        **{f"app.{app_id}.secret": _text for app_id, _ in _apps(settings)},
        **{f"live.{name}": _text for name in live},
        **dict.fromkeys(texts, _text),
        "pay.apiv3_key": _text,
        "pay.push_aes_key": lambda: "dev" + secrets.token_hex(20),
        "pay.serial_no": lambda: secrets.token_hex(20).upper(),
        "pay.private_key": _private_key,
        "platform.private_key": _private_key,
    }


def _text() -> str:
    """32 characters, which is what an APIv3 key must have and enough for the others."""
    return DEVELOPMENT + secrets.token_hex(14)


def _private_key() -> str:
    return _pem(RSA.generate(2048))


def _pem(key: RSA.RsaKey) -> str:
    return key.export_key(pkcs=8).decode()


def _kept_or_made(makers: dict[str, Callable[[], str]], file: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    made = {name: make() for name, make in makers.items() if name not in kept}
    if made:
        _save({**kept, **made}, file)
    return {**kept, **made}


def _save(values: dict[str, str], file: Path) -> None:
    """Written aside and moved, so that a start that is killed here leaves no half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.touch(mode=0o600)
    aside.write_text(json.dumps(values, indent=1))
    aside.replace(file)


def _fill(section: AnySection, name: str, values: Mapping[str, str | int]) -> AnySection:
    empty = [key for key in type(section).model_fields if not getattr(section, key)]
    found = {key: values[f"{name}.{key}"] for key in empty if f"{name}.{key}" in values}
    return section.model_copy(update=found)
