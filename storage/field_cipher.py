"""Encryption of stored secrets, so that a database dump does not reveal them."""

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from Crypto.Random import get_random_bytes

NONCE_BYTES, TAG_BYTES = 12, 16


class FieldCipher:
    """AES-256-GCM with a key derived by HKDF-SHA256 from the configured text `key`."""

    def __init__(self, key: str) -> None:
        self._key = HKDF(key.encode(), 32, b"", SHA256, context=b"qlive vault 1")

    def encrypt(self, text: str, owner: str) -> bytes:
        """Encrypt `text`, bound to `owner` as associated data: no other owner can decrypt it."""
        nonce = get_random_bytes(NONCE_BYTES)
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce)
        cipher.update(owner.encode())
        ciphertext, tag = cipher.encrypt_and_digest(text.encode())
        return bytes(nonce + tag + ciphertext)

    def decrypt(self, encrypted: bytes, owner: str) -> str | None:
        """Decrypt; None if that fails, usually because the configured key has changed."""
        nonce, tag = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES : NONCE_BYTES + TAG_BYTES]
        try:
            cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce)
            cipher.update(owner.encode())
            plaintext = cipher.decrypt_and_verify(encrypted[NONCE_BYTES + TAG_BYTES :], tag)
            return str(plaintext.decode())
        except ValueError:
            return None
