"""Tencent's object storage (COS): signed forms for uploads, and a client for objects."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import NamedTuple
from urllib.parse import quote

import structlog
from yarl import URL

from config.sections import UploadsSettings
from tencent.errors import ServiceUnavailable
from tencent.service_client import EMPTY, Method, ServiceClient, ServiceResponse

log = structlog.get_logger("tencent.cos")

VALID_SECONDS = 600
"""Validity of an upload form, and of the signature of a request."""
CLOCK_SKEW_SECONDS = 60
"""How far ahead of COS's clock ours may be."""
IMMUTABLE = "public, max-age=31536000, immutable"
START_BYTES = 256 * 1024
"""First bytes of an object that `head` reads. A JPEG picture may have 64 KB of EXIF data, and a
colour profile, before its size."""


class CosObject(NamedTuple):
    """Metadata of an object with its first bytes; `size` in bytes."""

    size: int
    content_type: str
    etag: str
    start: bytes = b""


class CosClient:
    """Objects of one bucket."""

    def __init__(
        self, client: ServiceClient, uploads: UploadsSettings, now: Callable[[], float] = time
    ) -> None:
        self._client = client
        self._uploads = uploads
        self._now = now
        self._host = URL(uploads.endpoint).authority

    def upload_form(self, key: str, content_type: str, max_bytes: int) -> dict[str, str]:
        """Return form fields with which anyone may store exactly this object within VALID_SECONDS.

        The file follows as the last field. Every field has a condition, or would be free to the
        client. Source: Tencent COS, POST Object.
        """
        key_time = self._key_time()
        fields = {
            "key": key,
            "acl": "default",
            "Content-Type": content_type,
            "success_action_status": "200",
            "q-sign-algorithm": "sha1",
            "q-ak": self._uploads.secret_id,
        }
        expiration = datetime.fromtimestamp(self._now() + VALID_SECONDS, UTC)
        conditions: list[object] = [{"bucket": self._uploads.bucket}]
        conditions += [{name: value} for name, value in fields.items()]
        conditions += [["content-length-range", 1, max_bytes], {"q-sign-time": key_time}]
        end = f"{expiration:%Y-%m-%dT%H:%M:%S}.000Z"
        policy = json.dumps({"expiration": end, "conditions": conditions})
        return {
            **fields,
            "q-key-time": key_time,
            "q-signature": policy_signature(policy, self._uploads.secret_key, key_time),
            "policy": base64.b64encode(policy.encode()).decode(),
        }

    async def head(self, key: str) -> CosObject | None:
        """Return the object, or None if it does not exist. Raises ServiceUnavailable."""
        response = await self.request("GET", key, {"range": f"bytes=0-{START_BYTES - 1}"})
        if response.status == 404:
            return None
        self._check(response, 206)
        headers = response.headers
        size = int(headers.get("Content-Range", "").rpartition("/")[2] or 0)
        content_type, etag = headers.get("Content-Type", ""), headers.get("ETag", "")
        return CosObject(size, content_type, etag, response.body)

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store an object, in place of an existing one. Raises ServiceUnavailable."""
        headers = {"content-type": content_type, "cache-control": IMMUTABLE}
        self._check(await self.request("PUT", key, headers, body), 200)

    async def copy(self, source: str, target: str, found: CosObject) -> bool:
        """Copy an object as `head` has found it; return False if it has changed since.

        An existing target stays as it is. Source: Tencent COS, PUT Object - Copy.
        """
        headers = {
            "content-type": found.content_type,
            "cache-control": IMMUTABLE,
            "x-cos-copy-source": self.copy_source(source),
            "x-cos-copy-source-if-match": found.etag,
            "x-cos-forbid-overwrite": "true",
            "x-cos-metadata-directive": "Replaced",
        }
        response = await self.request("PUT", target, headers)
        if response.status in (404, 412):
            return False
        if response.status != 409:  # 200 may also report an error
            self._check(response, 200, contains=b"<ETag>")
        return True

    async def delete(self, key: str) -> None:
        """Delete an object, also one that does not exist. Raises ServiceUnavailable."""
        self._check(await self.request("DELETE", key), 204, 404)

    def copy_source(self, key: str) -> str:
        """Return the header by which a copy names its source."""
        return f"{self._uploads.bucket}.cos.{self._uploads.region}.myqcloud.com/{quote(key)}"

    async def request(
        self,
        method: Method,
        key: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        query: Mapping[str, str] = EMPTY,
    ) -> ServiceResponse:
        """Return the answer to a signed request, which may be an error; no `key` is the bucket."""
        path, signed = f"/{key}", {"host": self._host, **(headers or {})}
        authorization = request_authorization(
            method, path, signed, self._uploads, self._key_time(), query
        )
        return await self._client.request(
            method,
            quote(path),
            query,
            body=body,
            headers={**signed, "Authorization": authorization},
            safe_to_repeat=True,
        )

    def _key_time(self) -> str:
        now = int(self._now())
        return f"{now - CLOCK_SKEW_SECONDS};{now + VALID_SECONDS}"

    def _check(self, response: ServiceResponse, *expected: int, contains: bytes = b"") -> None:
        if response.status not in expected or contains not in response.body:
            log.error("cos_request_refused", status=response.status)
            raise ServiceUnavailable(self._client.service)


def policy_signature(policy: str, secret_key: str, key_time: str) -> str:
    """Return the signature of a form by its policy, before base64.

    Source: Tencent COS, POST Object: the inner digest in hex is the outer key.
    """
    return _hmac(_hmac(secret_key, key_time), _sha1(policy))


def request_authorization(
    method: str,
    path: str,
    headers: Mapping[str, str],
    uploads: UploadsSettings,
    key_time: str,
    query: Mapping[str, str] = EMPTY,
) -> str:
    """Return the `Authorization` of a request that signs its query and these headers.

    `path` is decoded, and without a path of the base URL. Source: Tencent COS, request signature.
    """
    header_names, header_lines = _covered(headers)
    parameter_names, parameter_lines = _covered(query)
    digest = _sha1(f"{method.lower()}\n{path}\n{parameter_lines}\n{header_lines}\n")
    sign_key = _hmac(uploads.secret_key, key_time)
    signature = _hmac(sign_key, f"sha1\n{key_time}\n{digest}\n")
    return (
        f"q-sign-algorithm=sha1&q-ak={uploads.secret_id}&q-sign-time={key_time}"
        f"&q-key-time={key_time}&q-header-list={header_names}"
        f"&q-url-param-list={parameter_names}&q-signature={signature}"
    )


def _covered(fields: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of signed fields, and their values as they are signed."""
    pairs = sorted((_encoded(name).lower(), _encoded(value)) for name, value in fields.items())
    return ";".join(name for name, _ in pairs), "&".join(f"{k}={v}" for k, v in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
