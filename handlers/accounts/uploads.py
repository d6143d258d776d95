"""Uploads of pictures."""

from handlers.accounts.models import UploadTicketRequest, UploadTicketResponse
from handlers.base import ActiveUserHandler, endpoint
from services.errors import UploadMissing, UploadRefused, UploadsOff
from tencent.cos import VALID_SECONDS
from tencent.errors import ServiceUnavailable

PICTURE_ERRORS = (UploadMissing, UploadRefused, UploadsOff, ServiceUnavailable("cos"))
"""Errors of every call that names a picture."""


class UploadTicketHandler(ActiveUserHandler):
    """Permit the upload of a picture.

    The phone posts `fields` and then the file, as `file`, to `url`: a still picture with at most
    4,096 pixels a side. `key` then names it in update_userinfo or update_room. The ticket is valid
    for `seconds`.
    """

    @endpoint(limit="upload", errors=[UploadsOff])
    async def post(self, params: UploadTicketRequest) -> UploadTicketResponse:
        fields = await self.context.services.accounts.pictures.ticket(
            self.user.user_id, params.kind, params.type, params.size
        )
        url = f"{self.context.settings.uploads.endpoint}/"
        return UploadTicketResponse(
            url=url, key=fields["key"], fields=fields, seconds=VALID_SECONDS
        )
