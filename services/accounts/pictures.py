"""Pictures that users upload: faces, and covers of rooms.

A phone uploads under a random key that its form names. What is shown is a copy under a key that
no client can write, so it never changes.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Literal

from config.sections import ModerationSettings, UploadsSettings
from core.errors import InvalidParameter
from rooms.moderation import FIELDS
from services.errors import ContentRefused, UploadMissing, UploadRefused, UploadsOff
from services.jobs.outbox_jobs import Payload
from storage.jobs.outbox import DELETE_OBJECT
from storage.stores import Stores
from tencent.cos import CosClient

PictureKind = Literal["face", "cover"]
PictureType = Literal["image/jpeg", "image/png", "image/webp"]
EXTENSIONS: dict[str, str] = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
MAX_BYTES = 5 * 1024 * 1024
UNUSED_KEPT = timedelta(days=1)
"""How long an unused upload is kept."""
MAX_SIDE = 4096
"""Longest side of a picture, in pixels: phones decode the whole picture, 4 bytes a pixel."""
REPLACED_KEPT = timedelta(days=30)
"""Minimum time for which a replaced picture is kept: caches and open pages still show it."""
UPLOAD_KEY = re.compile(r"uploads/(face|cover)/([0-9]{8})/[0-9a-f]{32}\.(?:jpg|png|webp)")
PICTURE_KEY = re.compile(r"pictures/(face|cover)/([0-9]{8})/[0-9a-f]{32}\.(?:jpg|png|webp)")
CODE_KEY = re.compile(r"pictures/code/[0-9a-f]{32}\.jpg")
"""The code of a ticket (services/rooms/tickets.py)."""

JPEG_SEGMENT = re.compile(rb"\xff+[\xc4\xcc\xdb\xdd\xe0-\xef\xfe](..)", re.DOTALL)
"""A segment of a JPEG file that may precede the frame, with its length."""
JPEG_FRAME = re.compile(rb"\xff+[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]...(..)(..)", re.DOTALL)
"""The beginning of the frame, with height and width."""


@dataclass
class PictureService:
    """Forms for uploads, and the addresses of what was uploaded."""

    _cos: CosClient
    _stores: Stores
    _uploads: UploadsSettings
    _moderation: ModerationSettings

    async def upload_form(
        self, user_id: str, kind: PictureKind, content_type: str, size: int
    ) -> dict[str, str]:
        """Permit an upload of at most `size` bytes; return its form's fields. Raises UploadsOff."""
        self._check_enabled()
        name = f"{secrets.token_hex(16)}.{EXTENSIONS[content_type]}"
        key = f"uploads/{kind}/{user_id}/{name}"
        await self._delete_after(UNUSED_KEPT, key)
        return self._cos.upload_form(key, content_type, size)

    async def address_of(self, kind: PictureKind, user_id: str, named: str) -> str:
        """Return the address of a picture named by the key of an upload or by an address.

        Raises InvalidParameter for another user's upload or a host that is not allowed; also
        UploadsOff, UploadMissing, UploadRefused or ServiceUnavailable.
        """
        if match := UPLOAD_KEY.fullmatch(named):
            if match.groups() != (kind, user_id):
                raise InvalidParameter({FIELDS[kind]: "this is not an upload of yours"})
            return await self._adopt(kind, user_id, named)
        base = f"{self._uploads.address}/"
        if named.startswith(base):
            own = PICTURE_KEY.fullmatch(named, len(base))
            is_allowed_here = own is not None and own.groups() == (kind, user_id)
        elif self._uploads.bucket and self._moderation.is_checked(kind):
            reason = "upload this picture: one at another address may change after its check"
            raise InvalidParameter({FIELDS[kind]: reason})
        else:
            host = named.partition("://")[2].split("/")[0]  # with user and port: not allowed then
            is_allowed_here = host != "" and host in (self._uploads.allowed_hosts or [host])
        if not is_allowed_here:
            raise InvalidParameter({FIELDS[kind]: "pictures of this host are not allowed"})
        return named

    async def delete(self, payload: Payload) -> None:
        """Delete an upload, a code, or a picture refused or not shown at the last two checks."""
        key = payload["key"].removeprefix(f"{self._uploads.address}/")
        if (match := PICTURE_KEY.fullmatch(key)) and not payload.get("refused"):
            is_shown = (await self._stores.moderation.shown(match[1], match[2])).endswith(f"/{key}")
            if is_shown or not payload.get("replaced"):
                await self._delete_after(REPLACED_KEPT, key, replaced=not is_shown)
                return
        # Never a picture at another host.
        if match or UPLOAD_KEY.fullmatch(key) or CODE_KEY.fullmatch(key):
            await self._cos.delete(key)

    async def _adopt(self, kind: PictureKind, user_id: str, upload: str) -> str:
        """Copy an upload; its copy has the same key each time, so that this may be repeated."""
        self._check_enabled()
        extension = upload.rpartition(".")[2]
        name = f"{hashlib.sha256(upload.encode()).hexdigest()[:32]}.{extension}"
        key = f"pictures/{kind}/{user_id}/{name}"
        address = f"{self._uploads.address}/{key}"
        last = await self._stores.moderation.last_of(kind, user_id, address)
        if last and last.state == "refused":  # its copy was deleted, and must not be made again
            raise ContentRefused(FIELDS[kind])
        found = await self._cos.head(upload)
        if found is None:
            if await self._cos.head(key) is None:
                raise UploadMissing
            return address
        has_its_type = EXTENSIONS.get(found.content_type) == extension
        if not (
            0 < found.size <= MAX_BYTES and has_its_type and is_allowed(found.start, extension)
        ):
            raise UploadRefused
        await self._delete_after(REPLACED_KEPT, key)  # first, so that a crash leaves no copy behind
        if not await self._cos.copy(upload, key, found):
            raise UploadMissing  # replaced or deleted meanwhile
        await self._delete_after(timedelta(), upload)
        return address

    def _check_enabled(self) -> None:
        if not self._uploads.bucket:
            raise UploadsOff

    async def _delete_after(self, delay: timedelta, key: str, *, replaced: bool = False) -> None:
        payload = {"key": key, "replaced": replaced}
        await self._stores.outbox.add_later(DELETE_OBJECT, payload, delay)


def is_allowed(start: bytes, extension: str) -> bool:
    """Return whether a file begins as a still picture of its type, of at most MAX_SIDE a side."""
    first, sides_of = HEADERS[extension]
    return start.startswith(first) and all(0 < side <= MAX_SIDE for side in sides_of(start))


def _jpeg_sides(start: bytes) -> tuple[int, int]:
    at = 2
    while segment := JPEG_SEGMENT.match(start, at):
        at = segment.start(1) + int.from_bytes(segment[1])
    frame = JPEG_FRAME.match(start, at)
    return (int.from_bytes(frame[2]), int.from_bytes(frame[1])) if frame else (0, 0)


def _png_sides(start: bytes) -> tuple[int, int]:
    at = 8
    while (chunk := start[at + 4 : at + 8]) not in (b"IDAT", b"acTL", b""):
        at += 12 + int.from_bytes(start[at : at + 4])
    is_still = chunk == b"IDAT"  # acTL, which precedes the data, makes it animated
    return (int.from_bytes(start[16:20]), int.from_bytes(start[20:24])) if is_still else (0, 0)


def _webp_sides(start: bytes) -> tuple[int, int]:
    low = partial(int.from_bytes, byteorder="little")
    match start[8:16]:
        case b"WEBPVP8X" if not low(start[20:21]) & 2:  # the flag of an animation
            return 1 + low(start[24:27]), 1 + low(start[27:30])
        case b"WEBPVP8 ":
            return low(start[26:28]) & 0x3FFF, low(start[28:30]) & 0x3FFF
        case b"WEBPVP8L":
            bits = low(start[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


HEADERS: dict[str, tuple[bytes, Callable[[bytes], tuple[int, int]]]] = {
    "jpg": (b"\xff\xd8", _jpeg_sides),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", _png_sides),
    "webp": (b"RIFF", _webp_sides),
}
"""By extension, the first bytes, and the width and height by the start of a file: 0 if it is
animated, or begins with anything that decoders may read differently."""
