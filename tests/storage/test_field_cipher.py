from storage.field_cipher import FieldCipher

CIPHER = FieldCipher("dev-0123456789abcdef0123456789ab")
OTHER = FieldCipher("dev-0123456789abcdef0123456789ac")


def test_ciphertext_decrypts_only_for_its_owner_and_key() -> None:
    for text in ("", "session-key", "名\x00😀" * 99):
        for owner in ("", "anna"):
            ciphertext = CIPHER.encrypt(text, owner)
            assert CIPHER.decrypt(ciphertext, owner) == text
            assert CIPHER.decrypt(ciphertext, owner + "x") is None
            assert OTHER.decrypt(ciphertext, owner) is None


def test_encryption_is_randomized() -> None:
    assert len({CIPHER.encrypt("session-key", "anna") for _ in range(10)}) == 10


def test_other_bytes_do_not_decrypt() -> None:
    for length in range(60):
        assert CIPHER.decrypt(bytes(range(length)), "anna") is None
