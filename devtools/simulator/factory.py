"""Builds the simulator from settings and development secrets."""

from config.settings import Settings
from devtools.development_secrets import DevSecrets
from devtools.simulator.simulator import Simulator


def make_simulator(settings: Settings, dev: DevSecrets, address: str) -> Simulator:
    """Build the simulator; without a public URL, `address` receives its pushes and callbacks."""
    api = f"{settings.server.public_url or address}/wx/api/qlive"
    return Simulator(
        apps={name: app.secret for name, app in settings.wechat.apps.items()},
        sdk_app_id=settings.im.sdk_app_id,
        im_key=settings.im.secret_key,
        im_admin=settings.im.admin,
        mchid=settings.pay.mchid,
        merchant_serial=settings.pay.serial_no,
        merchant_public_key=dev.merchant_public_key,
        platform_key_id=settings.pay.public_key_id,
        platform_private_key=dev.platform_private_key,
        apiv3_key=settings.pay.apiv3_key,
        live_secret_id=settings.live.secret_id,
        live_secret_key=settings.live.secret_key,
        offer_id=settings.pay.offer_id,
        app_key=settings.pay.app_key,
        sandbox=settings.pay.sandbox,
        push_token=settings.pay.push_token,
        push_aes_key=settings.pay.push_aes_key,
        push_url=f"{api}/qlive_pay/xpay_notify/",
        im_callback_token=settings.im.callback_token,
        im_callback_url=f"{api}/im/callback/",
    )
