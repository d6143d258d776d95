"""WeChat and Tencent clients, shared within a process."""

from typing import Any

from config.settings import Settings
from tencent.activity_cards import ActivityCardClient
from tencent.bills import MAX_FILE_BYTES, TIMEOUT_SECONDS, BillClient
from tencent.cloud_api import FaceIdClient, LiveStreamingClient, StreamUrls
from tencent.cos import CosClient
from tencent.im import ImClient
from tencent.merchant import MerchantClient
from tencent.message_push import MessagePushReader
from tencent.notices import NoticeClient
from tencent.pay import JSAPI, JsapiClient
from tencent.service_client import ServiceClient
from tencent.transfers import TransferClient
from tencent.wechat import (
    ANSWER_SECONDS,
    AccessTokenCache,
    ContentSecurityClient,
    WechatApi,
    WechatClient,
)
from tencent.xpay import PROVIDER as XPAY
from tencent.xpay import OnRejection, XpayClient

PaymentClient = JsapiClient | XpayClient


class TencentClients:
    """The clients of one process; `close` closes their connections."""

    jsapi: JsapiClient | None = None
    transfers: TransferClient | None = None
    """Both are None when there is no merchant key."""

    def __init__(self, settings: Settings, on_xpay_rejection: OnRejection) -> None:
        wechat, pay = settings.wechat, settings.pay
        api_url = f"{settings.server.public_url}/wx/api/qlive"
        app_secrets = {app_id: app.secret for app_id, app in wechat.apps.items()}
        self._clients: list[ServiceClient] = []
        wechat_api = self._open("wechat", wechat.api_base)
        im_api = self._open("im", settings.im.api_base)
        pay_api = self._open("pay", pay.api_base)
        # The same host as `wechat`, with a queue of its own: a flood of logins delays no payment.
        xpay_api = self._open("xpay", wechat.api_base, service="wechat")
        self.services = (wechat_api, im_api, pay_api, xpay_api)
        """The HTTP clients underlying the others, reported by /readyz."""
        tokens = AccessTokenCache(xpay_api, app_secrets)

        def wechat_calls(name: str, seconds: float | None = None) -> WechatApi:
            client = self._open(name, wechat.api_base, service="wechat")
            return WechatApi(client, tokens, seconds)

        self.wechat = WechatClient(wechat_api, app_secrets)
        self.content_security = ContentSecurityClient(
            wechat_calls("content_security", ANSWER_SECONDS)
        )
        self.activity_cards = ActivityCardClient(wechat_calls("activity_cards", ANSWER_SECONDS))
        is_published = settings.environment == "production"
        self.notices = NoticeClient(
            wechat_calls("notices"), settings.notices.template_id, is_published=is_published
        )
        self.xpay = XpayClient(WechatApi(xpay_api, tokens), pay, on_xpay_rejection)
        self.im = ImClient(im_api, settings.im)
        live_api = self._open("live", settings.live_streaming.api_base)
        self.live_streaming = LiveStreamingClient(live_api, settings.live_streaming)
        self.stream_urls = StreamUrls(settings.live_streaming)
        self.cos = CosClient(self._open("cos", settings.uploads.endpoint), settings.uploads)
        faceid_api = self._open("faceid", settings.age_verification.api_base)
        self.faceid = FaceIdClient(faceid_api, settings.age_verification)
        of_bills = {"timeout": TIMEOUT_SECONDS, "max_bytes": MAX_FILE_BYTES}
        bill_api = self._open("bills", pay.api_base, service="pay", **of_bills)
        file_api = self._open("bill_files", "", service="wechat", **of_bills)
        bills = None
        if pay.private_key:
            bills, merchant = MerchantClient(bill_api, pay), MerchantClient(pay_api, pay)
            self.jsapi = JsapiClient(merchant, f"{api_url}/qlive_pay/notify/")
            notify_url = f"{api_url}/qlive_pay/transfer_notify/"
            self.transfers = TransferClient(merchant, notify_url, settings.withdraw)
        self.bills = BillClient(bills, self.xpay, file_api, wechat)
        self.providers: dict[str, PaymentClient] = {XPAY: self.xpay}
        """Payment clients by the name of the provider, as stored in orders."""
        if self.jsapi:
            self.providers[JSAPI] = self.jsapi
        self.message_push = MessagePushReader(
            pay.push_token, pay.push_aes_key, next(iter(app_secrets), "")
        )

    def _open(self, name: str, base_url: str, **options: Any) -> ServiceClient:
        self._clients.append(ServiceClient(name, base_url, **options))
        return self._clients[-1]

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
