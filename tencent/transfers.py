"""Client of WeChat Pay's transfers to users (商家转账): create, query and cancel bills."""

import base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA1

from config.sections import WithdrawSettings
from ledger.transfers import (
    FINAL_STATES,
    MIN_NAMED_FEN,
    Transfer,
    TransferBody,
    TransferRequest,
    TransferState,
)
from tencent.errors import MerchantNotFound, NotVerified, Reason, Unreadable
from tencent.json_reader import INT64, json_text, number, read_object, text
from tencent.merchant import MerchantClient, MerchantNotifications, check_merchant

TRANSFER = "transfer"
"""Source of notifications."""
FINISHED = "MCHTRANSFER.BILL.FINISHED"
PACKAGE_LENGTH, FAIL_REASON_LENGTH = 1024, 256
BILLS_PATH = "/v3/fund-app/mch-transfer/transfer-bills"
NUMBERS_PATH = f"{BILLS_PATH}/out-bill-no"


class TransferClient:
    """Transfers of one merchant; `notifications` parses those that WeChat Pay sends.

    A bill keeps its number for ever: after an unclear answer it is queried and then sent again as
    it was. Only a query or a notification that says FAIL or CANCELLED means that it is not paid.

    Every call raises as `MerchantClient.call`. States are read from signed answers only.
    """

    def __init__(
        self, merchant: MerchantClient, notify_url: str, settings: WithdrawSettings
    ) -> None:
        self.notifications = MerchantNotifications(merchant, TRANSFERS)
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
        return await self._merchant.call(
            TRANSFER,
            number,
            partial(_transfer, number),
            "POST",
            BILLS_PATH,
            body=body.text,
            headers=serial,
            safe_to_repeat=False,
        )

    async def query(self, number: str) -> Transfer | None:
        """Return the state of a bill, None if WeChat Pay does not have it, or not yet."""

        def read(content: Mapping[str, Any]) -> Transfer:
            check_merchant(content, self._merchant.mchid)
            return _transfer(number, content)

        try:
            path = f"{NUMBERS_PATH}/{number}"
            return await self._merchant.call(TRANSFER, number, read, "GET", path)
        except MerchantNotFound:
            return None

    async def cancel(self, number: str) -> Transfer:
        """Ask to cancel a bill that the user has not confirmed; a query shows the result."""
        read, path = partial(_transfer, number), f"{NUMBERS_PATH}/{number}/cancel"
        return await self._merchant.call(TRANSFER, number, read, "POST", path, safe_to_repeat=False)

    def _encrypt(self, name: str) -> str:
        """Encrypt a field for WeChat Pay alone: RSA-OAEP with SHA-1, in base64.

        Source: WeChat Pay v3, "encrypting sensitive fields". Raises ValueError for more bytes than
        the key takes, 214 with 2048 bits.
        """
        key = self._merchant.keys[self._merchant.encryption_serial]
        return base64.b64encode(PKCS1_OAEP.new(key, hashAlgo=SHA1).encrypt(name.encode())).decode()


def transfer_of(content: Mapping[str, Any]) -> Transfer:
    """Return the transfer in an answer or notification. Raises Unreadable."""
    try:
        state = TransferState(text(content, "state"))
    except ValueError:
        raise Unreadable from None
    has_amount, has_user = "transfer_amount" in content, bool(content.get("openid"))
    package = _optional(content, "package_info")
    if len(package) > PACKAGE_LENGTH:
        raise Unreadable  # it is of no use if it is cut
    return Transfer(
        text(content, "out_bill_no"),
        state,
        text(content, "transfer_bill_no"),
        number(content, "transfer_amount", INT64) if has_amount else None,
        text(content, "openid") if has_user else None,
        package,
        _optional(content, "fail_reason")[:FAIL_REASON_LENGTH],  # else the end would be unreadable
        _optional(content, "appid") or None,
    )


def _transfer(bill: str, content: Mapping[str, Any]) -> Transfer:
    transfer = transfer_of(content)
    if transfer.number != bill:
        raise NotVerified(Reason.UNREADABLE, "response is about another bill")
    return transfer


def _finished(content: Mapping[str, Any]) -> Transfer:
    number(content, "transfer_amount", INT64)
    transfer = transfer_of(content)
    if transfer.state not in FINAL_STATES:
        raise NotVerified(Reason.NOT_FINAL)
    return transfer


def _optional(content: Mapping[str, Any], name: str) -> str:
    """Return a text, "" if it is absent. Raises Unreadable for any other value."""
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise Unreadable
    return value


TRANSFERS: Mapping[str, Callable[[Mapping[str, Any]], Transfer]] = {FINISHED: _finished}
