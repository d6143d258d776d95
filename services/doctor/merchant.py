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
    "pay.orders": "right to ordinary payments",
    "pay.transfers": "query of a transfer that does not exist",
    "pay.bills": "newest bill that can exist",
    "pay.apiv3_key": "platform certificate, which the APIv3 key opens",
    "pay.answers": "key and signature of the answers",
}
CONSOLE = "pay.weixin.qq.com"
SECURITY = f"{CONSOLE}, 账户中心 → API安全"
KEY_ID = f"Set pay.public_key_id to the id of WeChat Pay's public key: {SECURITY}, 微信支付公钥."
PUBLIC_KEY = f"Set pay.public_key to WeChat Pay's public key: {SECURITY}, 微信支付公钥."
PRIVATE_KEY = (
    f"Set pay.private_key to the key of the certificate with pay.serial_no (apiclient_key.pem; a "
    f"lost one is replaced: {SECURITY})."
)
MCHID = f"Set pay.mchid to the merchant number: {CONSOLE}, 账户中心 → 商户信息."
SIGNATURE = {
    **dict.fromkeys(("MCH_NOT_EXISTS", "商户号"), MCHID),
    "Wechatpay-Serial": KEY_ID,
    "序列号": f"Set pay.serial_no to the serial number of the merchant's certificate: {SECURITY}.",
    "SIGN_ERROR": PRIVATE_KEY,
}
"""What to do by the first of these words in the code and the message of a refusal."""
ADDRESS = "IP地址"
"""In the message of a refusal whose code, INVALID_REQUEST, has many causes."""
PRODUCT = {
    "NO_AUTH": f"Open this product: {CONSOLE}, 产品中心.",
    ADDRESS: f"Add this machine's address: {CONSOLE}, 产品中心 → 商家转账 → API IP名单.",
}
APIV3_KEY = f"Set pay.apiv3_key to the APIv3 key: {SECURITY}, APIv3密钥."
UNTIL_A_NOTIFICATION = (
    "If it is wrong, the first notification of a payment is refused with the reason `decryption`."
)
TIMED = ("SIGN_ERROR",)
BILL_HOUR = 10
"""Hour in China from which WeChat Pay has the bill of the day before."""
NUMBER = "doctor0000000000"
NO_SUCH_NUMBER = ("ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "NOT_FOUND")
BILL_CODES = ("", "NO_STATEMENT_EXIST", "STATEMENT_CREATING")


async def check_merchant_api(examination: Examination) -> None:
    settings, findings, pay = examination.settings, examination.findings, examination.settings.pay
    if not pay.private_key:
        findings.not_used("pay.private_key is empty")
        return
    client = examination.client("pay", pay.api_base)
    try:
        merchant = MerchantClient(client, pay)
    except ValueError as error:
        findings.tell("pay.signature", str(error), f"{PRIVATE_KEY} {PUBLIC_KEY}", is_right=False)
        return
    answers: list[ServiceResponse] = []

    async def ask(path: str, **query: str) -> ServiceResponse:
        answers.append(await merchant.request("GET", path, query))
        content_of(answers[-1], client.service)
        return answers[-1]

    order = _shown(await ask(f"{ORDERS_PATH}/{NUMBER}", mchid=pay.mchid))
    is_signed = code_of(answers[0]) in PRODUCT  # whose message may name the merchant number
    word = "" if is_signed else next((word for word in SIGNATURE if word in order), "")
    if not findings.judge("pay.signature", word, ("",), SIGNATURE, shown=order, timed=TIMED):
        return
    _judge_product(findings, "pay.orders", answers[0], is_used=pay.provider == "jsapi")
    transfer = await ask(f"{NUMBERS_PATH}/{NUMBER}")
    _judge_product(findings, "pay.transfers", transfer, is_used=settings.withdrawals_are_on)
    path, kind = CALLS["trade" if pay.provider == "jsapi" else "fund_basic"]
    now = datetime.now(UTC).astimezone(CHINA_TZ)
    day = now.date() - timedelta(days=1 if now.hour >= BILL_HOUR else 2)
    bill = await ask(path, bill_date=str(day), tar_type="GZIP", **kind)
    findings.judge("pay.bills", code_of(bill), BILL_CODES, PRODUCT, shown=f"{day}: {_shown(bill)}")
    _judge_apiv3_key(findings, await ask("/v3/certificates"), pay.apiv3_key)
    _judge_answers(findings, merchant, answers)


def _judge_product(
    findings: Findings, name: str, response: ServiceResponse, *, is_used: bool
) -> None:
    if is_used:
        shown = _shown(response)
        code = ADDRESS if ADDRESS in shown else code_of(response)
        findings.judge(name, code, NO_SUCH_NUMBER, PRODUCT, shown=shown)
    else:
        findings.not_used("the settings do not use it", name)


def _judge_apiv3_key(findings: Findings, response: ServiceResponse, apiv3_key: str) -> None:
    name, certificates = "pay.apiv3_key", response.content.get("data")
    if not certificates:
        findings.cannot_tell(name, _shown(response), UNTIL_A_NOTIFICATION)
        return
    try:
        decrypt(apiv3_key, certificates[0]["encrypt_certificate"])
    except (NotVerified, LookupError, TypeError):
        findings.tell(name, "the key does not open a certificate", APIV3_KEY, is_right=False)
    else:
        findings.tell(name, "the key opens a certificate", "", is_right=True)


def _judge_answers(
    findings: Findings, merchant: MerchantClient, answers: list[ServiceResponse]
) -> None:
    """Verify a signature; WeChat Pay promises one for successes only."""
    name = "pay.answers"
    signed = [answer for answer in answers if answer.headers.get("Wechatpay-Signature")]
    if not signed:
        findings.cannot_tell(name, "no signed answer", f"{AGAIN} A success is signed.")
        return
    key_id = signed[0].headers.get("Wechatpay-Serial", "")
    try:
        for answer in signed:
            verify(answer.headers, answer.body, merchant.keys, merchant.now())
    except NotVerified as error:
        to_do = KEY_ID if error.reason == Reason.SERIAL else PUBLIC_KEY
        is_stale = error.reason == Reason.STALE
        findings.tell(name, f"{key_id}: {error}", to_do, is_right=False, timed=is_stale)
    else:
        findings.tell(name, key_id, "", is_right=True)


def _shown(response: ServiceResponse) -> str:
    message = str(response.content.get("message", ""))[:60]
    return f"HTTP {response.status} {code_of(response)} {message}".strip()
