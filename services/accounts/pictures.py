"""Pictures that users upload: faces, and covers of rooms.

A phone uploads under a random key that its ticket names. What is shown is a copy under a key that
no client can write, so it never changes.
"""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Literal

from config.sections import ModerationSettings, UploadsSettings
from core.errors import InvalidParameter
from services.errors import UploadMissing, UploadRefused, UploadsOff
from services.jobs.outbox_jobs import Payload
from storage.stores import Stores
from tencent.cos import CosClient

PictureKind = Literal["face", "cover"]
PictureType = Literal["image/jpeg", "image/png", "image/webp"]
EXTENSIONS: dict[str, str] = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
FIELDS: dict[PictureKind, str] = {"face": "face_url", "cover": "room_image"}
"""Parameter that names the picture, for errors."""
MAX_BYTES = 5 * 1024 * 1024
UNUSED_KEPT = timedelta(days=1)
"""How long an unused upload is kept."""
REPLACED_KEPT = timedelta(days=30)
"""Minimum time for which a replaced picture is kept: caches and open pages still show it."""
DELETE_OBJECT = "delete_object"
"""Kind of the outbox message that deletes an object. Every picture has one."""
UPLOAD_KEY = re.compile(r"uploads/(face|cover)/([0-9]{8})/[0-9a-f]{32}\.(?:jpg|png|webp)")
PICTURE_KEY = re.compile(r"pictures/(face|cover)/([0-9]{8})/[0-9a-f]{32}\.(?:jpg|png|webp)")


class PictureService:
    """Tickets for uploads, and the addresses of what was uploaded."""

    def __init__(
        self,
        cos: CosClient,
        stores: Stores,
        uploads: UploadsSettings,
        moderation: ModerationSettings,
    ) -> None:
        self._cos = cos
        self._stores = stores
        self._uploads = uploads
        self._moderation = moderation

    async def ticket(
        self, user_id: str, kind: PictureKind, content_type: str, size: int
    ) -> dict[str, str]:
        """Permit one upload of at most `size` bytes: the fields of its form. UploadsOff."""
        self._check_enabled()
        name = f"{secrets.token_hex(16)}.{EXTENSIONS[content_type]}"
        key = f"uploads/{kind}/{user_id}/{name}"
        await self._delete_after(UNUSED_KEPT, key)
        return self._cos.upload_form(key, content_type, size)

    async def address_of(self, kind: PictureKind, user_id: str, named: str) -> str:
        """Address of the picture that a user names by the key of an upload or by an address.

        InvalidParameter for another user's upload or a host that is not allowed, UploadsOff,
        UploadMissing, UploadRefused, ServiceUnavailable.
        """
        if match := UPLOAD_KEY.fullmatch(named):
            if match.groups() != (kind, user_id):
                raise InvalidParameter({FIELDS[kind]: "this is not an upload of yours"})
            return await self._adopt(kind, user_id, named)
        is_ours = named.startswith(f"{self._uploads.address}/")
        if self._uploads.bucket and not is_ours and self._moderation.is_checked(kind):
            reason = "upload this picture: one at another address may change after its check"
            raise InvalidParameter({FIELDS[kind]: reason})
        if not self._may_show(kind, user_id, named):
            raise InvalidParameter({FIELDS[kind]: "pictures of this host are not allowed"})
        return named

    async def delete(self, payload: Payload) -> None:
        """Delete an upload, or a picture that was shown at neither of the last two checks."""
        key = payload["key"]
        if match := PICTURE_KEY.fullmatch(key):
            is_shown = (await self._shown(*match.groups())).endswith(f"/{key}")
            if is_shown or not payload.get("replaced"):
                await self._delete_after(REPLACED_KEPT, key, replaced=not is_shown)
                return
        await self._cos.delete(key)

    async def _adopt(self, kind: PictureKind, user_id: str, upload: str) -> str:
        """Copy an upload; its copy has the same key each time, so that this may be repeated."""
        self._check_enabled()
        extension = upload.rpartition(".")[2]
        name = f"{hashlib.sha256(upload.encode()).hexdigest()[:32]}.{extension}"
        key = f"pictures/{kind}/{user_id}/{name}"
        found = await self._cos.head(upload)
        if found is None:
            if await self._cos.head(key) is None:
                raise UploadMissing
            return f"{self._uploads.address}/{key}"
        if not 0 < found.size <= MAX_BYTES or EXTENSIONS.get(found.content_type) != extension:
            raise UploadRefused
        await self._delete_after(REPLACED_KEPT, key)  # first, so that a crash leaves no copy behind
        if not await self._cos.copy(upload, key, found):
            raise UploadMissing  # replaced or deleted meanwhile
        await self._delete_after(timedelta(), upload)
        return f"{self._uploads.address}/{key}"

    def _may_show(self, kind: PictureKind, user_id: str, address: str) -> bool:
        """Whether a user may show the picture at an address: of the bucket, their own."""
        base = f"{self._uploads.address}/"
        if address.startswith(base):
            match = PICTURE_KEY.fullmatch(address, len(base))
            return match is not None and match.groups() == (kind, user_id)
        host = address.partition("://")[2].split("/")[0]  # with user and port: none is allowed so
        return host != "" and host in (self._uploads.allowed_hosts or [host])

    def _check_enabled(self) -> None:
        if not self._uploads.bucket:
            raise UploadsOff

    async def _shown(self, kind: str, user_id: str) -> str:
        """Address of the picture that its owner shows at present."""
        if kind == "cover":
            return await self._stores.rooms.cover_of(user_id)
        user = await self._stores.users.find(user_id)
        return user.face_url if user else ""

    async def _delete_after(self, delay: timedelta, key: str, *, replaced: bool = False) -> None:
        payload = {"key": key, "replaced": replaced}
        await self._stores.outbox.add_later(DELETE_OBJECT, payload, delay)
