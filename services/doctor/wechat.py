"""Checks of WeChat: access tokens, content security, templates and virtual payment.

Unverified: gettemplate, and 40164 for an address that is not in the list.
"""

from services.doctor.findings import Examination, content_of
from tencent.json_reader import json_text
from tencent.wechat import BUSY_CODE, PROFILE, AccessTokenCache, WechatCall
from tencent.xpay import QUERY, XpayClient

CHECKS = {
    "wechat.token": "stable access token of each app",
    "wechat.content_check": "check of a text in the name of a user who does not exist",
    "wechat.templates": "list of the templates of subscription messages",
    "wechat.virtual_payment": "query of an order that does not exist",
    "wechat.offer_id": "offer of the virtual payment",
}
CONSOLE = "mp.weixin.qq.com"
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
    for app_id in apps:
        answer = content_of(await tokens.request(app_id), client.service)
        code = 0 if answer.get("access_token") else answer.get("errcode")
        shown = f"{app_id}: errcode {code}" if code else "a token for each app"
        if not findings.judge("wechat.token", code, (0,), TOKEN, shown=shown):
            return
    app_id = next(iter(apps))

    async def code_of(call: WechatCall) -> object:
        answer = content_of(await tokens.send(client, call), client.service)
        return answer.get("errcode", BUSY_CODE)

    if any(map(settings.moderation.is_checked, ("nickname", "room_name", "face", "cover"))):
        request = {**PROFILE, "openid": NOBODY, "content": "doctor"}
        code = await code_of(WechatCall(app_id, "/wxa/msg_sec_check", json_text(request)))
        name = "wechat.content_check"
        findings.judge(name, code, NO_SUCH_USER, CALL, shown=f"errcode {code}")
    else:
        findings.not_used("moderation checks nothing", "wechat.content_check")
    templates = WechatCall(app_id, "/wxaapi/newtmpl/gettemplate", method="GET")
    code = await code_of(templates)
    findings.judge("wechat.templates", code, (0,), CALL, shown=f"errcode {code}")
    if not settings.pay.app_key:
        findings.not_used("pay.app_key is empty", "wechat.virtual_payment", "wechat.offer_id")
        return
    xpay = XpayClient(client, tokens, settings.pay, lambda *_: None)
    request = {"openid": NOBODY, "env": int(settings.pay.sandbox), "order_id": ORDER}
    code = (await xpay.call(app_id, QUERY, request)).get("errcode", 0)
    name = "wechat.virtual_payment"
    if findings.judge(name, code, NO_SUCH_ORDER, APP_KEY, shown=f"errcode {code}"):
        to_do = f"Recharge for the smallest block on a phone; see {CONSOLE}, 虚拟支付 → 基本配置."
        findings.cannot_tell("wechat.offer_id", "no call names it", to_do)
