from hypothesis import given
from hypothesis import strategies as st

from storage.field_cipher import FieldCipher

KEY = "dev-0123456789abcdef0123456789ab"


@given(st.text(), st.text())
def test_ciphertext_decrypts_only_for_its_owner_and_key(text: str, owner: str) -> None:
    ciphertext = FieldCipher(KEY).encrypt(text, owner)
    assert FieldCipher(KEY).decrypt(ciphertext, owner) == text
    assert FieldCipher(KEY).decrypt(ciphertext, owner + "x") is None
    assert FieldCipher(KEY + "x").decrypt(ciphertext, owner) is None


@given(st.binary(max_size=60))
def test_arbitrary_bytes_do_not_decrypt(anything: bytes) -> None:
    assert FieldCipher(KEY).decrypt(anything, "anna") is None


def test_encryption_is_randomized_and_hides_the_text() -> None:
    ciphertexts = {FieldCipher(KEY).encrypt("session-key", "anna") for _ in range(10)}
    assert len(ciphertexts) == 10
    assert all(b"session" not in ciphertext for ciphertext in ciphertexts)


def test_ciphertext_with_a_damaged_byte_does_not_decrypt() -> None:
    ciphertext = FieldCipher(KEY).encrypt("session-key", "anna")
    for position in range(len(ciphertext)):
        damaged = bytearray(ciphertext)
        damaged[position] ^= 1
        assert FieldCipher(KEY).decrypt(bytes(damaged), "anna") is None
