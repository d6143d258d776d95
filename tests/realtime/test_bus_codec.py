import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.bus import (
    MESSAGE_TYPES,
    AudienceChanged,
    BusMessage,
    CatalogueChanged,
    ConnectionOpened,
    EventPublished,
    TokenRevoked,
    UserEvicted,
    pack,
    unpack,
)
from realtime.close_codes import CloseCode

IDS = st.integers(0, 2**53)
TEXTS = st.text(max_size=20)
MESSAGES = st.one_of(
    st.builds(EventPublished, IDS, TEXTS, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(AudienceChanged, IDS),
    st.builds(UserEvicted, TEXTS, st.none() | IDS, st.sampled_from(CloseCode)),
    st.builds(ConnectionOpened, IDS, TEXTS, TEXTS, IDS),
    st.builds(TokenRevoked, TEXTS),
    st.builds(CatalogueChanged),
)


@given(sender=TEXTS, message=MESSAGES)
def test_pack_and_unpack_round_trip(sender: str, message: BusMessage) -> None:
    unpacked = unpack(pack(sender, message))
    assert unpacked == (sender, message)
    assert unpacked is not None
    if isinstance(message, UserEvicted):
        assert type(unpacked[1].code) is CloseCode  # type: ignore[union-attr]


def test_every_message_type_has_a_name() -> None:
    assert set(MESSAGE_TYPES.values()) == {
        EventPublished,
        AudienceChanged,
        UserEvicted,
        ConnectionOpened,
        TokenRevoked,
        CatalogueChanged,
    }


def test_frame_bytes_are_packed_unchanged() -> None:
    """Line feeds and bytes that are not UTF-8 are kept."""
    frame = b"\x81\x05a\nb\n\xff"
    assert pack("me", EventPublished(1, "e", 2, frame, last=False)).endswith(b"\n" + frame)


@given(data=st.binary(max_size=200))
def test_random_bytes_unpack_to_none(data: bytes) -> None:
    assert unpack(data) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(value=JSON, name=st.sampled_from([*MESSAGE_TYPES, "unknown"]), fields=JSON)
def test_unpack_never_raises_on_messages_of_another_version(
    value: object, name: str, fields: object
) -> None:
    for written in (value, ["me", name, fields]):
        found = unpack(json.dumps(written).encode() + b"\nframe")
        assert found is None or type(found[1]) in MESSAGE_TYPES.values()


@pytest.mark.parametrize(
    "value",
    [
        '["me","unknown",{"live_id":1}]',
        '["me","audience_changed",{"live_id":1,"more":2}]',
        '["me","audience_changed",{}]',
        '["me","audience_changed",null]',
        '["me","audience_changed"]',
        '["me","catalogue_changed",{"gifts":true}]',
        '["me","user_evicted",{"user_id":"1","live_id":1,"code":4999}]',
        '["me",["audience_changed"],{"live_id":1}]',
        '{"audience_changed":1}',
        "7",
        "null",
        "[" * 100_000,
    ],
)
def test_unknown_type_or_malformed_fields_unpack_to_none(value: str) -> None:
    assert unpack(value.encode()) is None
