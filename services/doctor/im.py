"""Checks of Tencent IM: the administrator's account, a group, and the callback about its end."""

import secrets
from datetime import UTC, datetime
from typing import Any

from services.doctor.findings import Examination, content_of
from tencent.im import GROUP_ALREADY_OWNED, GROUP_MISSING_CODES, GROUP_QUOTA_EXCEEDED, ImClient

CHECKS = {
    "im.account": "the administrator's own account",
    "im.groups": "a group made and dissolved",
    "im.callback": "IM's callback about that",
}
CONSOLE = "console.cloud.tencent.com/im"
APP = f"Set im.sdk_app_id to the SDKAppID: {CONSOLE}, 应用管理."
KEY = f"Set im.secret_key to the key of this SDKAppID: {CONSOLE}, 应用管理 → 基本信息 → 密钥."
ADMIN = f"Set im.admin to an administrator: {CONSOLE}, 应用管理 → 基本信息 → 账号管理员."
ACCOUNT = {
    **dict.fromkeys((60006, 60012, 70014, 70020), APP),
    **dict.fromkeys((70002, 70003, 70005, 70009, 70016), KEY),
    **dict.fromkeys((60004, 60005, 60010, 70013, 70051), ADMIN),
}
EXPIRED = (70001, 70052)
GROUP = {
    10007: f"The edition has no live groups (AVChatRoom): {CONSOLE}, 应用管理 → 升级.",
    GROUP_QUOTA_EXCEEDED: f"The edition's live groups are used up: {CONSOLE}, 应用管理 → 升级.",
}
CALLBACK = (
    f"{CONSOLE}, 回调配置: the address https://…/wx/api/qlive/im/callback/, 鉴权 on with "
    "im.callback_token, and the callback for dissolved groups on."
)


async def check_im(examination: Examination, callback_seconds: float) -> None:
    """Wait `callback_seconds` for a callback, if a server is running."""
    settings, findings = examination.settings.im, examination.findings
    im = ImClient(examination.client("im", settings.api_base), settings)
    answer = await _ask(
        im, "im_open_login_svc/account_check", CheckItem=[{"UserID": settings.admin}]
    )
    code = answer.get("ErrorCode")
    shown = f"ErrorCode {code}"
    if not findings.judge("im.account", code, (0,), ACCOUNT, timed=EXPIRED, shown=shown):
        return
    if "NotImported" in str(answer.get("ResultItem")):
        findings.wrong("im.account", f"{settings.admin} has no account", ADMIN)
        return
    dissolved_at = datetime.now(UTC)
    if await _make_group(examination, im):
        await _check_callback(examination, dissolved_at, callback_seconds)


async def _make_group(examination: Examination, im: ImClient) -> bool:
    """Make a group and dissolve it; return whether that was right."""
    findings, name, group_id = examination.findings, "im.groups", f"doctor-{secrets.token_hex(8)}"
    left = [group_id]

    async def dissolve() -> object:
        answer = await _ask(im, "group_open_http_svc/destroy_group", GroupId=group_id)
        left.clear()
        return answer.get("ErrorCode")

    async def dissolve_if_left() -> None:
        if left:
            await dissolve()

    examination.clean_up(dissolve_if_left)
    command = "group_open_http_svc/create_group"
    answer = await _ask(im, command, Type="AVChatRoom", GroupId=group_id, Name="doctor")
    code = answer.get("ErrorCode")
    made = (0, GROUP_ALREADY_OWNED)
    if not findings.judge(name, code, made, GROUP, shown=f"ErrorCode {code}"):
        return False
    code = await dissolve()
    if code == 0 or code in GROUP_MISSING_CODES:
        return True
    to_do = f"Dissolve the group {group_id}: {CONSOLE}, 群组管理."
    findings.wrong(name, f"ErrorCode {code} of its dissolution", to_do)
    return False


async def _check_callback(examination: Examination, since: datetime, seconds: float) -> None:
    findings, servers = examination.findings, examination.servers
    if not await servers.serving():
        findings.cannot_tell("im.callback", "no server is running", "Repeat it with a server.")
        return
    row = await servers.dissolution(since, seconds)
    if row is None:
        findings.wrong("im.callback", f"nothing within {seconds:g} s", CALLBACK)
    elif not row["genuine"]:
        findings.wrong("im.callback", f"refused: {row['reason']}", CALLBACK)
    else:
        findings.right("im.callback", "it arrived")


async def _ask(im: ImClient, command: str, **body: object) -> dict[str, Any]:
    return content_of(await im.request(command, body), "im")
