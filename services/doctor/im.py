"""Checks of Tencent IM: the administrator's account, a group, and the callback about its end.

Unverified: that account_check may be asked about the administrator.
"""

import secrets
from datetime import UTC, datetime
from typing import Any

from services.doctor.findings import Examination, content_of
from services.doctor.servers import NO_SERVER
from tencent.im import GROUP_ALREADY_OWNED, GROUP_MISSING_CODES, GROUP_QUOTA_EXCEEDED, ImClient

CHECKS = {
    "im.account": "the administrator's own account",
    "im.groups": "a group made and dissolved",
    "im.callback": "IM's callback about its end",
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
    group_id = f"doctor-{secrets.token_hex(8)}"

    async def ask(command: str, **body: Any) -> object:
        return content_of(await im.request(command, body), "im").get("ErrorCode")

    async def dissolve() -> object:
        return await ask("group_open_http_svc/destroy_group", GroupId=group_id)

    account = [{"UserID": settings.admin}]
    code = await ask("im_open_login_svc/account_check", CheckItem=account)
    shown = f"ErrorCode {code}"
    if not findings.judge("im.account", code, (0,), ACCOUNT, shown=shown, timed=EXPIRED):
        return
    examination.clean_up(dissolve)  # a second time does no harm
    command, dissolved_at = "group_open_http_svc/create_group", datetime.now(UTC)
    group = ask(command, Type="AVChatRoom", GroupId=group_id, Name="doctor")
    code = await examination.make(group)
    if code in (0, GROUP_ALREADY_OWNED):
        code = await dissolve()
    shown = f"ErrorCode {code}"
    if not findings.judge("im.groups", code, (0, *GROUP_MISSING_CODES), GROUP, shown=shown):
        return
    if not await examination.servers.serving():
        findings.cannot_tell("im.callback", *NO_SERVER)
        return
    row = await examination.servers.dissolution(dissolved_at, callback_seconds)
    is_right = row is not None and row["genuine"]
    refused = f"it is refused: {row['reason']}" if row else f"nothing within {callback_seconds:g} s"
    came_back = "it arrived" if is_right else refused
    # A message that came before the time of this machine's clock is not found.
    findings.tell("im.callback", came_back, CALLBACK, is_right=is_right, timed=True)
