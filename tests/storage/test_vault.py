from hypothesis import given
from hypothesis import strategies as st

from storage.vault import Vault

KEY = "dev-0123456789abcdef0123456789ab"


@given(st.text(), st.text())
def test_what_is_sealed_opens_for_its_owner_alone(text: str, owner: str) -> None:
    sealed = Vault(KEY).seal(text, owner)
    assert Vault(KEY).open(sealed, owner) == text
    assert Vault(KEY).open(sealed, owner + "x") is None
    assert Vault(KEY + "x").open(sealed, owner) is None


@given(st.binary(max_size=60))
def test_what_was_never_sealed_does_not_open(anything: bytes) -> None:
    assert Vault(KEY).open(anything, "anna") is None


def test_the_same_text_is_sealed_anew_each_time_and_cannot_be_read() -> None:
    sealed = {Vault(KEY).seal("session-key", "anna") for _ in range(10)}
    assert len(sealed) == 10
    assert all(b"session" not in one for one in sealed)


def test_no_damaged_byte_goes_unnoticed() -> None:
    sealed = Vault(KEY).seal("session-key", "anna")
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 1
        assert Vault(KEY).open(bytes(damaged), "anna") is None
