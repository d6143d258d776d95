"""Client of Tencent IM's REST API: accounts, profiles, chat groups, messages, sanctions."""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import structlog
from TLSSigAPIv2 import TLSSigAPIv2

from config.sections import ImSettings
from tencent.errors import (
    ImGroupMissing,
    ImGroupTaken,
    ImMisconfigured,
    ImRejected,
    ServiceUnavailable,
)
from tencent.json_reader import json_text
from tencent.service_client import ServiceClient

log = structlog.get_logger("tencent.im")

# Error codes of the REST API. Source: Tencent IM, "server-side error codes".
# 40003 comes from the profile service, 30003 from the one of friends, the last three from messages
# to one user.
UNKNOWN_ACCOUNT_CODES = frozenset({70107, 40003, 30003, 20003, 90012, 90048})
MESSAGE_TOO_LONG = 80002
GROUP_ALREADY_OWNED = 10025  # the id is in use by the same owner
GROUP_ID_TAKEN = 10021  # the id is in use by another owner
GROUP_NOT_FOUND, INVALID_GROUP_ID = 10010, 10015
GROUP_MISSING_CODES = frozenset({GROUP_NOT_FOUND, INVALID_GROUP_ID})
GROUP_QUOTA_EXCEEDED = 10036  # the application has as many AVChatRooms as its edition allows
TRANSIENT_CODES = frozenset(
    {60007, 60011, 60018, 60019, 10006, 10023}  # rate limits
    | {60008, 60014, 10002, 70169, 70202, 70500, 90992, 91000}  # timeouts and internal errors
    | {30006, 30007, 30008}  # friends: internal errors, and another write at the same time
)
# Wrong key, SDKAppID or administrator account: the request itself is valid and succeeds once an
# operator has corrected the settings.
MISCONFIGURATION_CODES = frozenset(
    {60004, 60005, 60006, 60010, 60012}
    | {70001, 70002, 70003, 70005, 70009, 70013, 70014, 70016, 70020, 70050, 70051, 70052}
)
REJECTIONS: dict[int, type[ImRejected]] = {
    GROUP_ID_TAKEN: ImGroupTaken,
    **dict.fromkeys(GROUP_MISSING_CODES, ImGroupMissing),
}

ALREADY_FRIENDS = "Err_SNS_FriendAdd_Friend_Exist"  # in ResultInfo, with ResultCode 30001
FRIEND_PENDING, NOT_A_FRIEND = 30539, 31704
# Full lists of friends or requests; blocks at IM; a user who permits no friends.
FRIENDSHIP_REFUSED_CODES = frozenset({30010, 30012, 30014, 30515, 30516, 30525, 30540})

# Limits in bytes from Tencent's older documentation; newer pages allow more, so these fit both.
NAME_BYTES = 30
GROUP_FACE_BYTES = 100
PROFILE_BYTES = 500
MESSAGE_BYTES = 8 * 1024
NO_CALLBACKS = ["ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback"]
"""Callbacks that IM does not send about our own messages."""
MUTED_FOR_EVER = 4294967295  # seconds

ADMIN_SECONDS = 86400  # lifetime of the UserSig of a command, so that clock skew does not matter

GENDER_TAGS = {1: "Gender_Type_Male", 2: "Gender_Type_Female"}


class ImClient:
    """UserSigs, and the commands that the rooms need, sent as the administrator.

    All commands are safe to repeat. They raise ServiceUnavailable if a later retry may succeed
    (outage, rate limit, wrong settings that an operator can correct), ImRejected if it will not.
    """

    def __init__(self, client: ServiceClient, settings: ImSettings) -> None:
        self._client = client
        self._settings = settings
        self._signer = TLSSigAPIv2(settings.sdk_app_id, settings.secret_key)

    def user_sig(self, user_id: str, seconds: int) -> str:
        """Return a UserSig for `user_id` (at most 32 bytes), valid from now for `seconds`.

        Its holder acts as this user until it expires, or until `kick` ends all signed before.
        """
        return str(self._signer.gen_sig(user_id, seconds))

    async def account_import(self, user_id: str, nick: str, face_url: str) -> None:
        """Create an IM account, or update name and face of an existing one."""
        account = {
            "UserID": user_id,
            "Nick": truncate_utf8(nick, PROFILE_BYTES),
            "FaceUrl": url_within_limit(face_url, PROFILE_BYTES),
        }
        body = {name: value for name, value in account.items() if value}
        await self._command("im_open_login_svc/account_import", body)

    async def account_delete(self, user_id: str) -> bool:
        """Delete an account; return False if the edition or the console does not permit that."""
        command, body = "im_open_login_svc/account_delete", {"DeleteItem": [{"UserID": user_id}]}
        try:
            answer = await self._command(command, body, accepted=UNKNOWN_ACCOUNT_CODES)
        except ImRejected:
            return False
        results = answer.get("ResultItem") or [{"ResultCode": answer["ErrorCode"]}]
        code = self._result_code(results)
        return code == 0 or code in UNKNOWN_ACCOUNT_CODES

    async def create_group(self, group_id: str, name: str, owner: str, face_url: str) -> bool:
        """Create an AVChatRoom; idempotent for the same owner.

        Returns whether it is new, False also if the answer to an earlier try was lost. It has
        unlimited members and no history, and only its owner can dissolve it. `group_id`: at most 48
        bytes of ASCII. An owner unknown to IM is imported first. Raises ImGroupTaken if the group
        has another owner.
        """
        body = {
            "Owner_Account": owner,
            "Type": "AVChatRoom",
            "GroupId": group_id,
            "Name": truncate_utf8(name, NAME_BYTES) or group_id[:NAME_BYTES],
        }
        if face := url_within_limit(face_url, GROUP_FACE_BYTES):
            body["FaceUrl"] = face
        command, owned = "group_open_http_svc/create_group", {GROUP_ALREADY_OWNED}
        try:
            answer = await self._command(command, body, accepted=owned, account=owner)
        except ImGroupTaken:
            # The administrator, who sends the command, is not the owner: look who is.
            command = "group_open_http_svc/get_group_info"
            answer = await self._command(command, {"GroupIdList": [group_id]})
            found = [info for info in answer.get("GroupInfo") or () if isinstance(info, dict)]
            if not found or found[0].get("Owner_Account") != owner:
                raise
            return False
        return bool(answer["ErrorCode"] == 0)

    async def portrait_set(self, user_id: str, nick: str, face_url: str, gender: int) -> None:
        """Set name, face and gender (1 male, 2 female, 0 unset) of a user's IM profile."""
        items = {
            "Tag_Profile_IM_Nick": truncate_utf8(nick, PROFILE_BYTES),
            "Tag_Profile_IM_Gender": GENDER_TAGS.get(gender, "Gender_Type_Unknown"),
            "Tag_Profile_IM_Image": url_within_limit(face_url, PROFILE_BYTES),
        }
        pairs = [{"Tag": tag, "Value": value} for tag, value in items.items()]
        body = {"From_Account": user_id, "ProfileItem": pairs}
        await self._command("profile/portrait_set", body, account=user_id)

    async def destroy_group(self, group_id: str) -> None:
        """Dissolve the group; succeed if it no longer exists."""
        body = {"GroupId": group_id}
        await self._command("group_open_http_svc/destroy_group", body, accepted=GROUP_MISSING_CODES)

    async def kick(self, user_id: str) -> None:
        """Log a user out, if IM knows them, and end every UserSig signed before."""
        body = {"UserID": user_id}
        await self._command("im_open_login_svc/kick", body, accepted=UNKNOWN_ACCOUNT_CODES)

    async def forbid_send_msg(self, group_id: str, user_id: str, seconds: int) -> None:
        """Mute a user in the group for `seconds`: 0 lifts the mute, MUTED_FOR_EVER does not end.

        A mute outlasts leaving and rejoining. A user whom IM does not know yet is imported, since
        the mute would be lost. Raises ImGroupMissing.
        """
        mute_time = min(seconds, MUTED_FOR_EVER)
        body = {"GroupId": group_id, "Members_Account": [user_id], "MuteTime": mute_time}
        command = "group_open_http_svc/forbid_send_msg"
        accepted = () if seconds else UNKNOWN_ACCOUNT_CODES
        await self._command(command, body, accepted=accepted, account=user_id)

    async def mute_group(self, group_id: str, *, on: bool) -> None:
        """Close a group for all but its owner, or open it, unless `im.mute_all` is off."""
        if self._settings.mute_all:
            body = {"GroupId": group_id, "MuteAllMember": "On" if on else "Off"}
            await self._command("group_open_http_svc/modify_group_base_info", body)

    async def send_group_msg(
        self,
        group_id: str,
        text: str,
        random: int,
        priority: Literal["High", "Normal", "Low", "Lowest"],
    ) -> None:
        """Send a text to the group, as the administrator.

        IM drops a text repeated within 5 minutes with the same `random` (uint32). It accepts 40
        messages a second for one group, and drops those of lower priority first.
        """
        body = {
            "GroupId": group_id,
            "Random": random,
            "MsgPriority": priority,
            "MsgBody": _text_body(text),
            "ForbidCallbackControl": NO_CALLBACKS,
        }
        await self._command("group_open_http_svc/send_group_msg", body)

    async def send_text(self, to: str, text: str, random: int, seconds: int) -> None:
        """Send a text to one user, who is imported first if unknown to IM.

        IM keeps it for an offline recipient for `seconds` (at most 7 days; 0: not at all). It drops
        a text repeated with the same `random` (uint32) within the same second only.
        """
        body = {
            "SyncOtherMachine": 2,  # not copied to the sender's own devices
            "To_Account": to,
            "MsgLifeTime": seconds,
            "MsgRandom": random,
            "MsgBody": _text_body(text),
            "ForbidCallbackControl": NO_CALLBACKS,
        }
        await self._command("openim/sendmsg", body, account=to)

    async def add_friends(self, user_id: str, other_id: str) -> None:
        """Make two users friends of one another, without asking them.

        Users whom IM does not know yet are imported. A full list of friends is only logged.
        """
        item = {"To_Account": other_id, "AddSource": "AddSource_Type_Match"}
        body = {
            "From_Account": user_id,
            "AddFriendItem": [item],
            "AddType": "Add_Type_Both",
            "ForceAddFlags": 1,
        }
        command = "sns/friend_add"
        answer = await self._command(command, body, account=user_id)
        if self._result_code(answer["ResultItem"]) in UNKNOWN_ACCOUNT_CODES:
            await self.account_import(other_id, "", "")
            answer = await self._command(command, body)
        code, info = self._result_code(answer["ResultItem"]), answer["ResultItem"][0]["ResultInfo"]
        if code in FRIENDSHIP_REFUSED_CODES:
            log.warning("im_friendship_refused", error_code=code)
        elif code not in (0, FRIEND_PENDING) and ALREADY_FRIENDS not in info:
            raise ImRejected(code, info)

    async def delete_friends(self, user_id: str, other_id: str) -> None:
        """End the friendship of two users, on both sides; succeed if there is none."""
        body = {
            "From_Account": user_id,
            "To_Account": [other_id],
            "DeleteType": "Delete_Type_Both",
        }
        answer = await self._command("sns/friend_delete", body, accepted=UNKNOWN_ACCOUNT_CODES)
        code = self._result_code(answer.get("ResultItem") or [{"ResultCode": 0}])
        if code not in (0, NOT_A_FRIEND, *UNKNOWN_ACCOUNT_CODES):
            raise ImRejected(code, "sns/friend_delete")

    def _result_code(self, results: Sequence[Mapping[str, Any]]) -> int:
        """Return the ResultCode of the only item. Raises ServiceUnavailable for a transient one."""
        code = int(results[0]["ResultCode"])
        if code in TRANSIENT_CODES:
            raise ServiceUnavailable(self._client.service)
        return code

    async def _command(
        self,
        command: str,
        body: dict[str, Any],
        *,
        accepted: Collection[int] = (),
        account: str = "",
    ) -> dict[str, Any]:
        """Send a command; `accepted` error codes count as success.

        An `account` that IM does not know is imported, and the command sent again.
        """
        query = {
            "sdkappid": str(self._settings.sdk_app_id),
            "identifier": self._settings.admin,
            "usersig": self.user_sig(self._settings.admin, ADMIN_SECONDS),
            "random": str(secrets.randbits(32)),
            "contenttype": "json",
        }
        response = await self._client.request(
            "POST", f"/v4/{command}", query, json_text(body), safe_to_repeat=True
        )
        answer = response.content
        code = answer.get("ErrorCode")
        if type(code) is not int:
            log.error("im_answer_unreadable", command=command, status=response.status)
            raise ServiceUnavailable(self._client.service)
        if code == 0 or code in accepted:
            return answer
        if account and code in UNKNOWN_ACCOUNT_CODES:
            log.info("im_command_rejected", command=command, error_code=code)
            await self.account_import(account, "", "")
            return await self._command(command, body, accepted=accepted)
        log.warning("im_command_rejected", command=command, error_code=code)
        if code in MISCONFIGURATION_CODES:
            log.error("im_misconfigured", command=command, error_code=code)
            raise ImMisconfigured
        if code in TRANSIENT_CODES:
            raise ServiceUnavailable(self._client.service)
        if code == GROUP_QUOTA_EXCEEDED:
            log.error("im_group_quota_exceeded", command=command)
        raise REJECTIONS.get(code, ImRejected)(code, str(answer.get("ErrorInfo", "")))


def truncate_utf8(text: str, limit: int) -> str:
    """Return the longest prefix of at most `limit` bytes of UTF-8, in whole characters."""
    return text.encode()[:limit].decode(errors="ignore")


def url_within_limit(url: str, limit: int) -> str:
    """Return the URL, or "" if it is longer than `limit` bytes: a truncated URL is useless."""
    return url if len(url.encode()) <= limit else ""


def _text_body(text: str) -> list[dict[str, Any]]:
    """Return the body of a text message. Raises ImRejected if it exceeds IM's limit."""
    body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
    if len(json.dumps(body, ensure_ascii=False).encode()) > MESSAGE_BYTES:
        raise ImRejected(MESSAGE_TOO_LONG, "message exceeds 8 KB")
    return body
