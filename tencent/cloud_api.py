"""Calls of Tencent Cloud's API 3.0, with its signature TC3-HMAC-SHA256."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple

from yarl import URL

from config.sections import IdentitySettings, LiveSettings
from tencent.errors import Unreadable
from tencent.json_reader import child, json_text, read_object
from tencent.service_client import ServiceClient, ServiceResponse


class CloudAnswer(NamedTuple):
    """`code` and `info` of a failure are "" for a success."""

    code: str
    info: str
    content: Mapping[str, Any]


class CloudApiClient:
    """Calls actions of one service, all of which are safe to repeat."""

    def __init__(
        self,
        client: ServiceClient,
        service: str,
        version: str,
        settings: LiveSettings | IdentitySettings,
        now: Callable[[], float] = time,
    ) -> None:
        self._client = client
        self._service = service
        self._version = version
        self._settings = settings
        self._now = now
        self._host = URL(settings.api_base).authority

    async def call(self, action: str, content: Mapping[str, Any]) -> CloudAnswer:
        """Raises ServiceUnavailable without an answer."""
        body = json_text(content).encode()
        headers = self._signed(action, body)
        return _answer_in(
            await self._client.request("POST", "/", {}, body, headers, safe_to_repeat=True)
        )

    def _signed(self, action: str, body: bytes) -> dict[str, str]:
        """The headers of a call, which sign its body."""
        settings, timestamp = self._settings, int(self._now())
        covered = {"content-type": "application/json", "host": self._host}
        signature = tc3_signature(settings.secret_key, self._service, timestamp, covered, body)
        scope = f"{_date(timestamp)}/{self._service}/tc3_request"
        return {
            **covered,
            "Authorization": f"TC3-HMAC-SHA256 Credential={settings.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(covered)}, Signature={signature}",
            "X-TC-Action": action,
            "X-TC-Version": self._version,
            "X-TC-Timestamp": str(timestamp),
        }


def _answer_in(response: ServiceResponse) -> CloudAnswer:
    try:
        result = child(read_object(response.body), "Response")
        if response.status == 200 and "Error" not in result:
            return CloudAnswer("", "", result)
        error = child(result, "Error")
    except Unreadable:
        return CloudAnswer(f"HTTP {response.status}", "", {})
    return CloudAnswer(str(error.get("Code")), str(error.get("Message")), {})


def tc3_signature(
    secret_key: str, service: str, timestamp: int, headers: Mapping[str, str], body: bytes
) -> str:
    """Signature in hex of a POST to "/" with these headers, in lower case, and this body.

    Source: Tencent Cloud API 3.0, "signature v3" (TC3-HMAC-SHA256). A path of the base URL is not
    signed.
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
