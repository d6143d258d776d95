"""WeChat and Tencent clients, shared within a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tencent.access_tokens import AccessTokenCache
from tencent.css import CssClient, StreamUrls
from tencent.im import ImClient, UserSigSigner
from tencent.merchant import MerchantClient
from tencent.message_push import MessagePushReader
from tencent.pay import JsapiClient
from tencent.service_client import ServiceClient
from tencent.transfers import TransferClient, TransferScene
from tencent.wechat import WechatClient
from tencent.xpay import OnRejection, XpayClient


@dataclass(frozen=True, slots=True)
class WechatConfig:
    """The mini-programs: base URL of WeChat's API, and the secret of each app id."""

    api_base: str
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImConfig:
    """An application of Tencent IM; `secret_key` signs, `admin` calls its REST API."""

    api_base: str
    sdk_app_id: int
    admin: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """Tencent CSS: its API, and the domains and keys of stream URLs valid for `url_seconds`."""

    api_base: str
    push_domain: str
    play_domain: str
    url_seconds: int
    push_key: str = field(repr=False)
    play_key: str = field(repr=False)
    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JsapiConfig:
    """A merchant of WeChat Pay; `keys` are WeChat's public keys by serial number or key id."""

    api_base: str
    mchid: str
    serial_no: str
    keys: Mapping[str, str]
    notify_url: str
    private_key: str = field(repr=False)
    """PEM; "" for no merchant."""
    apiv3_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """Transfers of the merchant of WeChat Pay; `notify_url` has no query."""

    notify_url: str
    scene: TransferScene


@dataclass(frozen=True, slots=True)
class XpayConfig:
    """Virtual payment, and the message push that reports it."""

    offer_id: str
    sandbox: bool
    app_key: str = field(repr=False)
    push_token: str = field(repr=False)
    push_aes_key: str = field(repr=False)


class TencentClients:
    """The clients of one process; `close` closes their connections."""

    jsapi: JsapiClient | None
    """None when there is no merchant key."""
    transfers: TransferClient | None
    """None when there is no merchant key."""

    def __init__(
        self,
        wechat: WechatConfig,
        im: ImConfig,
        live: LiveConfig,
        jsapi: JsapiConfig,
        xpay: XpayConfig,
        transfers: TransferConfig,
        *,
        on_xpay_rejection: OnRejection,
    ) -> None:
        wechat_api = ServiceClient("wechat", wechat.api_base)
        im_api = ServiceClient("im", im.api_base)
        pay_api = ServiceClient("pay", jsapi.api_base)
        # The same host as `wechat`, with a queue of its own: a flood of logins delays no payment.
        xpay_api = ServiceClient("xpay", wechat.api_base, service="wechat")
        self.services = (wechat_api, im_api, pay_api, xpay_api)
        """The HTTP clients underlying the others, reported by /readyz."""
        self.wechat = WechatClient(wechat_api, wechat.secrets)
        self.user_sigs = UserSigSigner(im.sdk_app_id, im.secret_key)
        self.im = ImClient(im_api, self.user_sigs, im.admin)
        self.css = CssClient(live.api_base, live.secret_id, live.secret_key, live.push_domain)
        self.stream_urls = StreamUrls(
            live.push_domain, live.play_domain, live.push_key, live.play_key, live.url_seconds
        )
        self.jsapi, self.transfers = None, None
        if jsapi.private_key:
            merchant = _merchant(pay_api, jsapi)
            self.jsapi = JsapiClient(merchant, jsapi.apiv3_key, jsapi.notify_url)
            self.transfers = TransferClient(
                merchant, jsapi.apiv3_key, transfers.notify_url, transfers.scene
            )
        tokens = AccessTokenCache(xpay_api, wechat.secrets)
        self.xpay = XpayClient(
            xpay_api,
            tokens,
            xpay.offer_id,
            xpay.app_key,
            sandbox=xpay.sandbox,
            on_rejection=on_xpay_rejection,
        )
        self.message_push = MessagePushReader(
            xpay.push_token, xpay.push_aes_key, next(iter(wechat.secrets), "")
        )

    async def close(self) -> None:
        for service in self.services:
            await service.close()


def _merchant(client: ServiceClient, config: JsapiConfig) -> MerchantClient:
    return MerchantClient(client, config.mchid, config.serial_no, config.private_key, config.keys)
