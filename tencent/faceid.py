"""Tencent Cloud's FaceID: whether a name and an ID number belong together."""

from collections.abc import Callable
from time import time

import structlog

from config.sections import IdentitySettings
from tencent.cloud_api import CloudApiClient
from tencent.errors import ServiceUnavailable
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.faceid")

SERVICE, API_VERSION = "faceid", "2018-03-01"
MATCH = "0"
# They do not belong together, one of them is malformed, or there is no such number. Other results
# say that the check is not available, or was made too often today.
NO_MATCH = frozenset({"-1", "-2", "-3", "-5"})


class FaceIdClient:
    """Compares names and ID numbers, neither of which is logged."""

    def __init__(
        self,
        client: ServiceClient,
        identity: IdentitySettings,
        now: Callable[[], float] = time,
    ) -> None:
        self._api = CloudApiClient(client, SERVICE, API_VERSION, identity, now)

    async def is_match(self, name: str, id_number: str) -> bool:
        """Raises ServiceUnavailable. Source: Tencent Cloud FaceID, IdCardVerification."""
        answer = await self._api.call("IdCardVerification", {"IdCard": id_number, "Name": name})
        result = str(answer.content.get("Result"))
        if answer.code or result not in NO_MATCH | {MATCH}:
            log.warning("identity_not_checked", error_code=answer.code, result=result)
            raise ServiceUnavailable(SERVICE)
        return result == MATCH
