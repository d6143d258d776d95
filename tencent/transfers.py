"""Client of WeChat Pay's transfers to users (商家转账): create, query and cancel bills."""

import base64
from typing import Any

from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA1

from config.sections import WithdrawSettings
from ledger.transfers import MIN_NAMED_FEN, Transfer, TransferBody, TransferRequest
from tencent.errors import MerchantRefused, NotVerified, Reason
from tencent.json_reader import json_text, read_object
from tencent.merchant import MerchantClient
from tencent.notifications import TRANSFERS, MerchantNotifications, check_merchant, transfer_of
from tencent.service_client import ServiceResponse

BILLS_PATH = "/v3/fund-app/mch-transfer/transfer-bills"


class TransferClient:
    """Transfers of one merchant; `notifications` parses those that WeChat Pay sends.

    A bill keeps its number for ever: after an unclear answer it is queried and then sent again as
    it was. Only a query or a notification that says FAIL or CANCELLED means that it is not paid.

    Every call raises MerchantRefused for a refusal with a code, RateLimited if it came too fast (it
    was not accepted), and ServiceUnavailable for anything unclear. States are read from signed
    answers only; a refusal may have no signature.
    """

    def __init__(
        self, merchant: MerchantClient, notify_url: str, settings: WithdrawSettings
    ) -> None:
        self.notifications = MerchantNotifications(
            merchant.mchid, merchant.keys, merchant.apiv3_key, TRANSFERS
        )
        self.mchid = merchant.mchid
        """The mchId of wx.requestMerchantTransfer."""
        self._merchant = merchant
        self._notify_url = notify_url
        self._settings = settings

    def body(self, request: TransferRequest) -> TransferBody:
        """Return the JSON of a bill, to be stored before it is sent and then sent unchanged.

        Encrypting a name again gives another text, which WeChat Pay may take for another bill.
        """
        named = bool(request.real_name) and request.fen >= MIN_NAMED_FEN
        content: dict[str, Any] = {
            "appid": request.app_id,
            "out_bill_no": request.number,
            "transfer_scene_id": self._settings.scene_id,
            "openid": request.openid,
            **({"user_name": self._encrypt(request.real_name)} if named else {}),
            "transfer_amount": request.fen,
            "transfer_remark": self._settings.remark,
            "notify_url": self._notify_url,
            "transfer_scene_report_infos": [
                {"info_type": "岗位类型", "info_content": self._settings.position},
                {"info_type": "报酬说明", "info_content": self._settings.remark},
            ],
        }
        serial = self._merchant.encryption_serial if named else ""
        return TransferBody(json_text(content), serial)

    async def create(self, body: TransferBody) -> Transfer:
        """Send a bill, the first time or again; the answer to the first one has the package."""
        number = str(read_object(body.text)["out_bill_no"])
        # With a name, WeChat Pay decrypts it by the key of this serial, also after a new one.
        serial = {"Wechatpay-Serial": body.serial or self._merchant.encryption_serial}
        # Not repeated here: after an unclear answer a query comes first.
        response = await self._merchant.request(
            "POST", BILLS_PATH, body=body.text, headers=serial, safe_to_repeat=False
        )
        return self._read(response, number)

    async def query(self, number: str) -> Transfer | None:
        """Return the state of a bill, None if WeChat Pay does not have it, or not yet."""
        response = await self._merchant.request("GET", _path(number))
        try:
            transfer = self._read(response, number)
        except MerchantRefused:
            if response.status == 404:
                return None
            raise
        with self._merchant.reading("transfer", number):
            check_merchant(read_object(response.body), self._merchant.mchid)
        return transfer

    async def cancel(self, number: str) -> Transfer:
        """Ask to cancel a bill that the user has not confirmed; a query shows the result."""
        path = f"{_path(number)}/cancel"
        response = await self._merchant.request("POST", path, safe_to_repeat=False)
        return self._read(response, number)

    def _read(self, response: ServiceResponse, number: str) -> Transfer:
        with self._merchant.reading("transfer", number):
            if code := self._merchant.refusal(response):
                raise MerchantRefused(code)
            transfer = transfer_of(self._merchant.check(response))
            if transfer.number != number:
                raise NotVerified(Reason.UNREADABLE, "response is about another bill")
            return transfer

    def _encrypt(self, name: str) -> str:
        """Encrypt a field for WeChat Pay alone: RSA-OAEP with SHA-1, in base64.

        Source: WeChat Pay v3, "encrypting sensitive fields". Raises ValueError for more bytes than
        the key takes, 214 with 2048 bits.
        """
        key = self._merchant.keys[self._merchant.encryption_serial]
        return base64.b64encode(PKCS1_OAEP.new(key, hashAlgo=SHA1).encrypt(name.encode())).decode()


def _path(number: str) -> str:
    return f"{BILLS_PATH}/out-bill-no/{number}"
