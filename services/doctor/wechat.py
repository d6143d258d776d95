"""Checks of WeChat: access tokens, content security, templates and virtual payment.

Unverified: gettemplate, and 40164 for an address that is not in the list.
"""

from collections.abc import Mapping
from typing import Any

from services.doctor.findings import Examination, Findings, content_of
from tencent.json_reader import json_text
from tencent.wechat import BUSY_CODE, PROFILE, AccessTokenCache, WechatApi, WechatCall
from tencent.xpay import QUERY, XpayClient

CHECKS = {
    "wechat.token": "stable access token of each app",
    "wechat.content_check": "check of a text in the name of a user who does not exist",
    "wechat.templates": "list of the templates of subscription messages",
    "wechat.virtual_payment": "query of an order that does not exist",
    "wechat.offer_id": "offer of the virtual payment",
}
CONSOLE = "mp.weixin.qq.com"
TEMPLATE = f"Set notices.template_id to a template of the app: {CONSOLE}, 订阅消息 → 我的模板."
SECRET = f"Set wechat.apps to the AppSecret: {CONSOLE}, 开发管理 → 开发设置 → AppSecret."
QUOTA = (
    f"The day's quota is used up: {CONSOLE}, 开发管理 → 接口设置 → 额度; see what calls so often."
)
TOKEN = {
    40013: f"Set wechat.apps to the AppID: {CONSOLE}, 开发管理 → 开发设置 → AppID.",
    **dict.fromkeys((40001, 40125, 41004), SECRET),
    40164: f"Add this machine's address: {CONSOLE}, 开发管理 → 开发设置 → IP白名单.",
    45009: QUOTA,
}
NOT_GRANTED = f"The app has no right to this call: {CONSOLE}, 开发管理 → 接口设置."
CALL = {48001: NOT_GRANTED, 45009: QUOTA}
NO_SUCH_USER = (0, 61010, 40003)
NO_SUCH_ORDER = (0, 268490001, 268490002)
APP_KEY = {
    268490003: f"Set pay.app_key to the AppKey of production: {CONSOLE}, 虚拟支付 → 基本配置.",
    **CALL,
}
NOBODY = "oDoctor0000000000000000000000"
ORDER = "doctor0000000000"


async def check_wechat(examination: Examination) -> None:
    settings, findings = examination.settings, examination.findings
    client = examination.client("wechat", settings.wechat.api_base)
    apps = {app_id: app.secret for app_id, app in settings.wechat.apps.items()}
    tokens = AccessTokenCache(client, apps)
    api = WechatApi(client, tokens)
    for app_id in apps:
        answer = content_of(await tokens.request(app_id), client.service)
        code = 0 if answer.get("access_token") else answer.get("errcode")
        shown = f"{app_id}: errcode {code}" if code else "a token for each app"
        if not findings.judge("wechat.token", code, (0,), TOKEN, shown=shown):
            return
    app_id = next(iter(apps))

    async def answer_to(call: WechatCall) -> Mapping[str, Any]:
        answer = content_of(await api.send(call), client.service)
        return {"errcode": BUSY_CODE, **answer}

    if any(map(settings.moderation.is_checked, ("nickname", "room_name", "face", "cover"))):
        request = {**PROFILE, "openid": NOBODY, "content": "doctor"}
        call = WechatCall(app_id, "/wxa/msg_sec_check", json_text(request))
        code = (await answer_to(call))["errcode"]
        name = "wechat.content_check"
        findings.judge(name, code, NO_SUCH_USER, CALL, shown=f"errcode {code}")
    else:
        findings.not_used("moderation checks nothing", "wechat.content_check")
    if template_id := settings.notices.template_id:
        call = WechatCall(app_id, "/wxaapi/newtmpl/gettemplate", method="GET")
        _judge_templates(findings, await answer_to(call), template_id)
    else:
        findings.not_used("notices.template_id is empty", "wechat.templates")
    if not settings.pay.app_key:
        findings.not_used("pay.app_key is empty", "wechat.virtual_payment", "wechat.offer_id")
        return
    xpay = XpayClient(api, settings.pay, lambda *_: None)
    request = {"openid": NOBODY, "env": int(settings.pay.sandbox), "order_id": ORDER}
    code = (await xpay.call(app_id, QUERY, request)).get("errcode", 0)
    name = "wechat.virtual_payment"
    if findings.judge(name, code, NO_SUCH_ORDER, APP_KEY, shown=f"errcode {code}"):
        to_do = f"Recharge for the smallest block on a phone; see {CONSOLE}, 虚拟支付 → 基本配置."
        findings.cannot_tell("wechat.offer_id", "no call verifies it", to_do)


def _judge_templates(findings: Findings, answer: Mapping[str, Any], template_id: str) -> None:
    code, rows = answer["errcode"], answer.get("data") or []
    if code == 0 and template_id not in [row.get("priTmplId") for row in rows]:
        findings.tell(
            "wechat.templates", f"not among {len(rows)} templates", TEMPLATE, is_right=False
        )
    else:
        findings.judge("wechat.templates", code, (0,), CALL, shown=f"errcode {code}")
