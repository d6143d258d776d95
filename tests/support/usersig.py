"""Reads UserSigs."""

import base64
import json
import zlib
from typing import Any


def decode_usersig(usersig: str) -> dict[str, Any]:
    """The content of a UserSig, with its TLS.* fields."""
    packed = base64.b64decode(
        usersig.replace("*", "+").replace("-", "/").replace("_", "="), validate=True
    )
    ticket: dict[str, Any] = json.loads(zlib.decompress(packed))
    return ticket
