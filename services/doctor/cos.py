"""Checks of COS: an object that is written, copied, shown and deleted."""

import asyncio
import re
import secrets

from services.doctor.findings import Examination
from tencent.cos import CosClient
from tencent.service_client import ServiceClient, ServiceResponse

CHECKS = {
    "cos.write": "an object below uploads/doctor-…, written, read and copied",
    "cos.versions": "versions of the bucket",
    "cos.public_reads": "read without a signature",
    "cos.address": "read at uploads.public_url",
    "cos.delete": "deletion of both objects",
    "cos.lifecycle": "lifecycle rules of the bucket",
}
CONSOLE = "console.cloud.tencent.com/cos"
CAM = "console.cloud.tencent.com/cam"
KEY = f"Set uploads.secret_id and secret_key to a key: {CAM}, 访问密钥 → API密钥管理."
RIGHTS = f"Let the key's user put, read and delete objects of this bucket: {CAM} (docs/deploy.md)."
WRITE = {
    "NoSuchBucket": f"Set uploads.bucket and uploads.region: {CONSOLE}, 存储桶列表.",
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidAccessKeyId"), KEY),
    "AccessDenied": RIGHTS,
}
EXPIRED = ("AccessDenied", "RequestTimeTooSkewed")
VERSIONS = f"Suspend the versions and delete old ones: {CONSOLE}, 容错容灾管理 → 版本控制."
PUBLIC = f"Set 公有读私有写: {CONSOLE}, 权限管理 → 存储桶访问权限."
ADDRESS = (
    "Set uploads.public_url to an address of this bucket, or leave it empty: "
    f"{CONSOLE}, 域名与传输管理."
)
LIFECYCLE = f"Delete objects below uploads/ after two days: {CONSOLE}, 基础配置 → 生命周期."
NO_RULES = "NoSuchLifecycleConfiguration"


async def check_cos(examination: Examination) -> None:
    settings, findings = examination.settings.uploads, examination.findings
    if not settings.bucket:
        findings.not_used("uploads.bucket is empty")
        return
    client = examination.client("cos", settings.endpoint)
    cos = CosClient(client, settings)
    folder, content = f"uploads/doctor-{secrets.token_hex(8)}", secrets.token_hex(16).encode()
    keys = [f"{folder}/object.txt", f"{folder}/copy.txt"]

    async def delete() -> str:
        """Delete both, a second time without harm; return the code of an error."""
        answers = await asyncio.gather(*(cos.request("DELETE", key) for key in keys))
        return next(filter(None, map(_code, answers)), "")

    examination.clean_up(delete)
    put = cos.request("PUT", keys[0], {"content-type": "text/plain"}, content)
    written = await examination.make(put)
    code = _code(written) or await _read_and_copy(examination, cos, *keys)
    shown = code or "written, read and copied"
    if not findings.judge("cos.write", code, ("",), WRITE, shown=shown, timed=EXPIRED):
        return
    version = written.headers.get("x-cos-version-id")
    shown = "x-cos-version-id in the answer" if version else "none"
    findings.tell("cos.versions", shown, VERSIONS, is_right=not version)
    await _check_reads(examination, client, keys[0], content)
    code = await delete()
    to_do = f"{RIGHTS} Delete {folder}/ by hand: {CONSOLE}, 文件列表."
    findings.tell("cos.delete", code or "both are deleted", to_do, is_right=not code)
    rules = await cos.request("GET", "", query={"lifecycle": ""})
    if _code(rules) in ("", NO_RULES):
        has_rule = b"uploads/" in rules.body
        shown = f"{'a' if has_rule else 'no'} rule for uploads/"
        findings.tell("cos.lifecycle", shown, LIFECYCLE, is_right=has_rule)
    else:
        shown = f"the key may not read them: {_code(rules)}"
        findings.cannot_tell("cos.lifecycle", shown, LIFECYCLE)


async def _read_and_copy(examination: Examination, cos: CosClient, key: str, target: str) -> str:
    """Return the code of an error, "" without one."""
    read = await cos.request("GET", key, {"range": "bytes=0-99"})
    source = {"x-cos-copy-source": cos.copy_source(key)}
    return _code(read) or _code(await examination.make(cos.request("PUT", target, source)))


async def _check_reads(
    examination: Examination, client: ServiceClient, key: str, content: bytes
) -> None:
    """Check what users see: at the bucket's own address, and at uploads.public_url."""
    findings, settings = examination.findings, examination.settings.uploads
    read = await client.request("GET", f"/{key}")
    is_right = read.body == content
    findings.tell("cos.public_reads", f"HTTP {read.status}", PUBLIC, is_right=is_right)
    if not is_right:
        findings.cannot_tell("cos.address", "", "", because_of="cos.public_reads")
    elif settings.address == settings.endpoint:
        findings.not_used("uploads.public_url is empty", "cos.address")
    else:
        read = await examination.client("cos", settings.address).request("GET", f"/{key}")
        is_right = read.body == content
        shown = f"HTTP {read.status}, {'the' if is_right else 'another'} object"
        findings.tell("cos.address", shown, ADDRESS, is_right=is_right)


def _code(response: ServiceResponse) -> str:
    """Return the code of an error, or the status if it has none; "" for a success.

    A copy may be answered with an error and 200.
    """
    if found := re.search(rb"<Code>(\w+)</Code>", response.body):
        return found[1].decode()
    return "" if response.status < 300 else f"HTTP {response.status}"
