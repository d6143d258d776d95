"""Calls of Tencent Cloud's API 3.0, with its signature TC3-HMAC-SHA256, and FaceID."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, ClassVar, NamedTuple

import structlog
from yarl import URL

from config.sections import AgeVerificationSettings, LiveStreamingSettings
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.json_reader import child, json_text
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.cloud_api")
MATCH = "0"
# They do not belong together, one of them is malformed, or there is no such number. Other results
# say that the check is not available, or was made too often today.
NO_MATCH = frozenset({"-1", "-2", "-3", "-5"})


class CloudAnswer(NamedTuple):
    """`code` and `info` of a failure are "" for a success."""

    code: str
    info: str
    content: Mapping[str, Any]


class CloudApiClient:
    """Base of the clients of one service, whose actions are all safe to repeat."""

    service: ClassVar[str]
    version: ClassVar[str]

    def __init__(
        self,
        client: ServiceClient,
        settings: LiveStreamingSettings | AgeVerificationSettings,
        now: Callable[[], float] = time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._now = now
        self._host = URL(settings.api_base).authority

    async def call(self, action: str, content: Mapping[str, Any]) -> CloudAnswer:
        """Call an action. Raises ServiceUnavailable if there is no answer."""
        settings, timestamp, body = self._settings, int(self._now()), json_text(content)
        covered = {"content-type": "application/json", "host": self._host}
        signature = tc3_signature(
            settings.secret_key, self.service, timestamp, covered, body.encode()
        )
        scope = f"{_date(timestamp)}/{self.service}/tc3_request"
        headers = {
            **covered,
            "Authorization": f"TC3-HMAC-SHA256 Credential={settings.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(covered)}, Signature={signature}",
            "X-TC-Action": action,
            "X-TC-Version": self.version,
            "X-TC-Timestamp": str(timestamp),
        }
        response = await self._client.request("POST", "/", {}, body, headers, safe_to_repeat=True)
        try:
            result = child(response.content, "Response")
            if response.status == 200 and "Error" not in result:
                return CloudAnswer("", "", result)
            error = child(result, "Error")
        except Unreadable:
            return CloudAnswer(f"HTTP {response.status}", "", {})
        return CloudAnswer(str(error.get("Code")), str(error.get("Message")), {})


class FaceIdClient(CloudApiClient):
    """Compares names and ID numbers, neither of which is logged."""

    service, version = "faceid", "2018-03-01"

    async def is_match(self, name: str, id_number: str) -> bool:
        """Return whether a name and an ID number belong together. Raises ServiceUnavailable.

        Source: Tencent Cloud FaceID, IdCardVerification.
        """
        answer = await self.call("IdCardVerification", {"IdCard": id_number, "Name": name})
        result = str(answer.content.get("Result"))
        if answer.code or result not in NO_MATCH | {MATCH}:
            log.warning("identity_not_checked", error_code=answer.code, result=result)
            raise ServiceUnavailable(self.service)
        return result == MATCH


def tc3_signature(
    secret_key: str, service: str, timestamp: int, headers: Mapping[str, str], body: bytes
) -> str:
    """Return the signature in hex of a POST to "/" with this body and headers in lower case.

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256).
    """
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    payload = hashlib.sha256(body).hexdigest()
    request = f"POST\n/\n\n{lines}\n{';'.join(headers)}\n{payload}"
    scope = f"{_date(timestamp)}/{service}/tc3_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in (*scope.split("/"), f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key.hex()


def _date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).date().isoformat()
