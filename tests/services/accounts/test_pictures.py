"""Which pictures are shown, by the beginning of their files."""

import pytest

from services.accounts.pictures import is_allowed
from tests.support.pictures import jpeg, png, webp

EXIF, FILLED = b"\xff\xe1\xff\xff" + bytes(65533), b"\xff\xff\xdb\0\x02"


@pytest.mark.parametrize(
    ("extension", "start"),
    [
        ("jpg", jpeg(4096, 4096)),
        ("jpg", jpeg(before=EXIF + FILLED)),
        ("png", png(4096, 1)),
        ("png", png(1, 4096, b"iCCP", b"IDAT", b"acTL")),  # too late: decoders ignore it
        ("webp", webp(b"VP8 ", 4096, 1)),
        ("webp", webp(b"VP8L", 1, 4096)),
        ("webp", webp(b"VP8X", 4096, 4096, flags=0x10)),
    ],
    ids=lambda value: str(len(value)),
)
def test_a_still_picture_of_4096_pixels_a_side_is_allowed(extension: str, start: bytes) -> None:
    assert is_allowed(start, extension)


@pytest.mark.parametrize(
    ("extension", "start"),
    [
        ("jpg", jpeg(4097, 1)),
        ("jpg", jpeg(1, 4097)),
        ("jpg", jpeg(0, 1)),
        ("jpg", jpeg(before=b"\xff\xd0\0\x02")),  # has no length: decoders skip its marker only
        ("jpg", jpeg(before=b"\0")),
        ("jpg", b"\xff\xd8\xff\xe0"),
        ("jpg", png()),
        ("jpg", b"GIF89a" + bytes(64)),
        ("png", png(4097, 1)),
        ("png", png(1, 4097)),
        ("png", png(0, 1)),
        ("png", png(1, 1, b"acTL", b"IDAT")),
        ("png", png(1, 1, b"tEXt", b"acTL", b"IDAT")),
        ("png", png(1, 1, b"tEXt")),
        ("webp", webp(b"VP8 ", 4097, 1)),
        ("webp", webp(b"VP8L", 1, 4097)),
        ("webp", webp(b"VP8X", 4097, 1)),
        ("webp", webp(b"VP8X", flags=2)),
        ("webp", webp(b"ANIM")),
        ("webp", b""),
    ],
    ids=lambda value: str(len(value)),
)
def test_animated_and_larger_pictures_and_other_files_are_not(extension: str, start: bytes) -> None:
    assert not is_allowed(start, extension)
