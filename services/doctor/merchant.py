"""Checks of WeChat Pay: signatures in both directions, products, bills and keys."""

from datetime import UTC, datetime, timedelta

from core.clock import CHINA_TZ
from services.doctor.findings import AGAIN, Examination, Findings, content_of
from tencent.bills import CALLS
from tencent.errors import NotVerified, Reason
from tencent.merchant import MerchantClient, code_of, decrypt, verify
from tencent.pay import ORDERS_PATH
from tencent.service_client import ServiceResponse
from tencent.transfers import NUMBERS_PATH

CHECKS = {
    "pay.signature": "signed query of an order that does not exist",
    "pay.answers": "key and signature of the answers",
    "pay.orders": "right to ordinary payments",
    "pay.address": "this machine's address in the list of the transfers' API",
    "pay.transfers": "query of a transfer that does not exist",
    "pay.bills": "newest bill that can exist",
    "pay.apiv3_key": "platform certificates, which the APIv3 key opens",
}
CONSOLE = "pay.weixin.qq.com"
SECURITY = f"{CONSOLE}, 账户中心 → API安全"
MCHID = f"Set pay.mchid to the merchant number: {CONSOLE}, 账户中心 → 商户信息."
SERIAL = f"Set pay.serial_no to the serial number of the merchant's certificate: {SECURITY}."
PRIVATE_KEY = (
    f"Set pay.private_key to the key of the certificate with pay.serial_no (apiclient_key.pem; a "
    f"lost one is replaced: {SECURITY})."
)
KEY_ID = f"Set pay.public_key_id to the id of WeChat Pay's public key: {SECURITY}, 微信支付公钥."
PUBLIC_KEY = f"Set pay.public_key to WeChat Pay's public key: {SECURITY}, 微信支付公钥."
APIV3_KEY = f"Set pay.apiv3_key to the APIv3 key: {SECURITY}, APIv3密钥."
NOT_OPENED = f"Open this product: {CONSOLE}, 产品中心; the API answers NO_AUTH until then."
ADDRESS = f"Add this machine's address: {CONSOLE}, 产品中心 → 商家转账 → API IP名单."
UNTIL_A_NOTICE = "It shows at the first notice of a payment: one that is refused as `decryption`."
BILL_HOUR = 10
"""Hour in China from which WeChat Pay has the bill of the day before."""
NUMBER = "doctor0000000000"
NO_SUCH_ORDER = ("ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "NOT_FOUND")
BILL_CODES = ("", "NO_STATEMENT_EXIST", "STATEMENT_CREATING")


async def check_merchant_api(examination: Examination) -> None:
    settings, findings = examination.settings, examination.findings
    pay = settings.pay
    if not pay.private_key:
        findings.not_used("pay.private_key is empty")
        return
    client = examination.client("pay", pay.api_base)
    try:
        merchant = MerchantClient(client, pay)
    except ValueError as error:
        to_do = f"{PRIVATE_KEY} {PUBLIC_KEY}"
        findings.wrong("pay.signature", f"no call was possible: {error}", to_do)
        return
    answers: list[ServiceResponse] = []

    async def ask(path: str, **query: str) -> ServiceResponse:
        response = await merchant.request("GET", path, query)
        content_of(response, client.service)
        answers.append(response)
        return response

    order = await ask(f"{ORDERS_PATH}/{NUMBER}", mchid=pay.mchid)
    if not _judge_signature(findings, order):
        return
    _judge_product(findings, "pay.orders", order, is_used=pay.provider == "jsapi")
    transfer = await ask(f"{NUMBERS_PATH}/{NUMBER}")
    if not settings.withdrawals_are_on:
        findings.not_used("withdraw.enabled is off", "pay.address")
    elif _refuses_address(transfer):
        findings.wrong("pay.address", _shown(transfer), ADDRESS)
    else:
        findings.right("pay.address", "not refused")
    if settings.withdrawals_are_on and _refuses_address(transfer):
        findings.cannot_tell("pay.transfers", "", "", because_of="pay.address")
    else:
        _judge_product(findings, "pay.transfers", transfer, is_used=settings.withdrawals_are_on)
    path, kind = CALLS["trade" if pay.provider == "jsapi" else "fund_basic"]
    now = datetime.now(UTC).astimezone(CHINA_TZ)
    day = now.date() - timedelta(days=1 if now.hour >= BILL_HOUR else 2)
    bill = await ask(path, bill_date=str(day), tar_type="GZIP", **kind)
    opened = {"NO_AUTH": NOT_OPENED}
    findings.judge("pay.bills", code_of(bill), BILL_CODES, opened, shown=f"{day}: {_shown(bill)}")
    _judge_apiv3_key(findings, await ask("/v3/certificates"), pay.apiv3_key)
    _judge_answers(findings, merchant, answers)


def _judge_signature(findings: Findings, order: ServiceResponse) -> bool:
    """Add what the answer to the first call says about our signature; return whether it is good."""
    code, message = code_of(order), str(order.content.get("message", ""))
    if code in ("MCH_NOT_EXISTS", "MCHID_NOT_EXIST") or "商户号" in message:
        findings.wrong("pay.signature", _shown(order), MCHID)
    elif code == "SIGN_ERROR":
        is_serial = "序列号" in message
        to_do = SERIAL if is_serial else PRIVATE_KEY
        findings.wrong("pay.signature", _shown(order), to_do, timed=not is_serial)
    elif "Wechatpay-Serial" in message:
        findings.right("pay.signature", _shown(order))
        findings.wrong("pay.answers", _shown(order), KEY_ID)
    else:
        findings.right("pay.signature", _shown(order))
        return True
    return False


def _judge_product(
    findings: Findings, name: str, response: ServiceResponse, *, is_used: bool
) -> None:
    if is_used:
        wrong = {"NO_AUTH": NOT_OPENED}
        findings.judge(name, code_of(response), NO_SUCH_ORDER, wrong, shown=_shown(response))
    else:
        findings.not_used("the settings do not use it", name)


def _judge_apiv3_key(findings: Findings, response: ServiceResponse, apiv3_key: str) -> None:
    certificates = response.content.get("data")
    if not isinstance(certificates, list) or not certificates:
        findings.cannot_tell("pay.apiv3_key", _shown(response), UNTIL_A_NOTICE)
        return
    try:
        decrypt(apiv3_key, certificates[0]["encrypt_certificate"])
    except (NotVerified, KeyError, TypeError):
        findings.wrong("pay.apiv3_key", "a certificate that the key does not open", APIV3_KEY)
    else:
        findings.right("pay.apiv3_key", "a certificate that the key opens")


def _judge_answers(
    findings: Findings, merchant: MerchantClient, answers: list[ServiceResponse]
) -> None:
    """WeChat Pay promises a signature on successes only: any that is there is verified."""
    signed = [answer for answer in answers if answer.headers.get("Wechatpay-Signature")]
    if not signed:
        findings.cannot_tell("pay.answers", "no signed answer", f"{AGAIN} A success is signed.")
        return
    key_id = signed[0].headers.get("Wechatpay-Serial", "")
    try:
        for answer in signed:
            verify(answer.headers, answer.body, merchant.keys, merchant.now())
    except NotVerified as error:
        to_do = KEY_ID if error.reason == Reason.SERIAL else PUBLIC_KEY
        is_stale = error.reason == Reason.STALE
        findings.wrong("pay.answers", f"{key_id}: {error}", to_do, timed=is_stale)
    else:
        findings.right("pay.answers", key_id)


def _refuses_address(response: ServiceResponse) -> bool:
    return code_of(response) == "INVALID_REQUEST" and "IP" in str(response.content.get("message"))


def _shown(response: ServiceResponse) -> str:
    return f"HTTP {response.status} {code_of(response)}".rstrip()
