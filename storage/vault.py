"""Secrets that have to be kept are sealed: a copy of the database is then no key."""

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from Crypto.Random import get_random_bytes

NONCE_BYTES, TAG_BYTES = 12, 16


class Vault:
    """AES-256-GCM; `key` is the text of the settings, from which the real one is derived."""

    def __init__(self, key: str) -> None:
        self._key = HKDF(key.encode(), 32, b"", SHA256, context=b"qlive vault 1")

    def seal(self, text: str, owner: str) -> bytes:
        """Opens for the same owner only: nobody's can be put in another's place."""
        nonce = get_random_bytes(NONCE_BYTES)
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce)
        cipher.update(owner.encode())
        sealed, tag = cipher.encrypt_and_digest(text.encode())
        return bytes(nonce + tag + sealed)

    def open(self, sealed: bytes, owner: str) -> str | None:
        """None when it was not sealed so: the key of the settings has changed, as a rule."""
        nonce, tag = sealed[:NONCE_BYTES], sealed[NONCE_BYTES : NONCE_BYTES + TAG_BYTES]
        try:
            cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce)
            cipher.update(owner.encode())
            opened = cipher.decrypt_and_verify(sealed[NONCE_BYTES + TAG_BYTES :], tag)
            return str(opened.decode())
        except ValueError:
            return None
