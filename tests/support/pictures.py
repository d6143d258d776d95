"""Beginnings of picture files: as much as the server looks at."""

import struct


def jpeg(width: int = 64, height: int = 48, before: bytes = b"") -> bytes:
    """`before`: what precedes the frame, after the segment of JFIF."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xe0\0\x04\0\0" + before + b"\xff\xc0" + frame


def png(width: int = 64, height: int = 48, *chunks: bytes) -> bytes:
    """`chunks`: types of the chunks after the first one, each with eight bytes."""
    header = b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(9)
    others = b"".join(b"\0\0\0\x08" + chunk + bytes(12) for chunk in chunks or [b"IDAT"])
    return b"\x89PNG\r\n\x1a\n" + header + others


def webp(kind: bytes, width: int = 64, height: int = 48, flags: int = 0) -> bytes:
    match kind:
        case b"VP8X":
            sides = (number.to_bytes(3, "little") for number in (width - 1, height - 1))
            data = bytes([flags, 0, 0, 0]) + b"".join(sides)
        case b"VP8 ":
            data = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
        case _:
            data = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return b"RIFF\xff\0\0\0WEBP" + kind + b"\xff\0\0\0" + data + bytes(8)
