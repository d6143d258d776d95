"""WeChat and Tencent clients, shared within a process."""

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
from tencent.wechat import AccessTokenCache, ContentSecurityClient, WechatClient
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
        wechat_api = ServiceClient("wechat", wechat.api_base)
        im_api = ServiceClient("im", settings.im.api_base)
        pay_api = ServiceClient("pay", pay.api_base)
        # The same host as `wechat`, with a queue of its own: a flood of logins delays no payment.
        xpay_api = ServiceClient("xpay", wechat.api_base, service="wechat")
        content_api = ServiceClient("content_security", wechat.api_base, service="wechat")
        activity_card_api = ServiceClient("activity_cards", wechat.api_base, service="wechat")
        notice_api = ServiceClient("notices", wechat.api_base, service="wechat")
        live_streaming_api = ServiceClient("live", settings.live_streaming.api_base)
        cos_api = ServiceClient("cos", settings.uploads.endpoint)
        faceid_api = ServiceClient("faceid", settings.age_verification.api_base)
        self.services = (wechat_api, im_api, pay_api, xpay_api)
        """The HTTP clients underlying the others, reported by /readyz."""
        app_secrets = {app_id: app.secret for app_id, app in wechat.apps.items()}
        self.wechat = WechatClient(wechat_api, app_secrets)
        self.im = ImClient(im_api, settings.im)
        self.live_streaming = LiveStreamingClient(live_streaming_api, settings.live_streaming)
        self.cos = CosClient(cos_api, settings.uploads)
        self.faceid = FaceIdClient(faceid_api, settings.age_verification)
        self.stream_urls = StreamUrls(settings.live_streaming)
        bill_api = ServiceClient(
            "bills", pay.api_base, service="pay", timeout=TIMEOUT_SECONDS, max_bytes=MAX_FILE_BYTES
        )
        file_api = ServiceClient(
            "bill_files", "", service="wechat", timeout=TIMEOUT_SECONDS, max_bytes=MAX_FILE_BYTES
        )
        others = (
            content_api,
            activity_card_api,
            notice_api,
            live_streaming_api,
            cos_api,
            faceid_api,
        )
        self._clients = (*self.services, *others, bill_api, file_api)
        bills = None
        if pay.private_key:
            bills, merchant = MerchantClient(bill_api, pay), MerchantClient(pay_api, pay)
            self.jsapi = JsapiClient(merchant, f"{api_url}/qlive_pay/notify/")
            notify_url = f"{api_url}/qlive_pay/transfer_notify/"
            self.transfers = TransferClient(merchant, notify_url, settings.withdraw)
        tokens = AccessTokenCache(xpay_api, app_secrets)
        self.content_security = ContentSecurityClient(content_api, tokens)
        self.activity_cards = ActivityCardClient(activity_card_api, tokens)
        self.notices = NoticeClient(
            notice_api,
            tokens,
            settings.notices.template_id,
            is_published=settings.environment == "production",
        )
        self.xpay = XpayClient(xpay_api, tokens, pay, on_xpay_rejection)
        self.bills = BillClient(bills, self.xpay, file_api, wechat)
        self.providers: dict[str, PaymentClient] = {XPAY: self.xpay}
        """Payment clients by the name of the provider, as stored in orders."""
        if self.jsapi:
            self.providers[JSAPI] = self.jsapi
        self.message_push = MessagePushReader(
            pay.push_token, pay.push_aes_key, next(iter(app_secrets), "")
        )

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
