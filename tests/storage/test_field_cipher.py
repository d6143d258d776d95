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


def test_encryption_is_randomized_and_hides_the_text() -> None:
    ciphertexts = {CIPHER.encrypt("session-key", "anna") for _ in range(10)}
    assert len(ciphertexts) == 10
    assert all(b"session" not in ciphertext for ciphertext in ciphertexts)


def test_other_bytes_and_a_ciphertext_with_a_damaged_byte_do_not_decrypt() -> None:
    for length in range(60):
        assert CIPHER.decrypt(bytes(range(length)), "anna") is None
    ciphertext = CIPHER.encrypt("session-key", "anna")
    for position in range(len(ciphertext)):
        damaged = bytearray(ciphertext)
        damaged[position] ^= 1
        assert CIPHER.decrypt(bytes(damaged), "anna") is None
