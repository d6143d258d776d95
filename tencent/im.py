"""Tencent IM over its REST API: accounts, profiles, the chat group of each room, messages."""

import json
import secrets
from collections.abc import Collection
from typing import Any, Literal

import structlog

from rooms.refusals import ServiceAway
from tencent.outside import Outside
from tencent.usersig import UserSigs

log = structlog.get_logger("tencent.im")

# Error numbers of the REST API: "server-side error codes" of Tencent IM.
EXPIRED = frozenset({70001, 70052})
# 40003 is the profile service's word for it, the last three are those of a message to one user.
NO_ACCOUNT = frozenset({70107, 40003, 20003, 90012, 90048})
TOO_LONG = 80002
GROUP_IS_OURS = 10025  # the id is used and this owner has it already
GROUP_IS_GONE = 10010
TRY_LATER = frozenset(
    {60007, 60011, 60018, 60019, 10006, 10023}  # too often
    | {60008, 60014, 10002, 70169, 70202, 70500, 90992, 91000}  # timeouts and internal faults
)
# Our key, our SDKAppID, our account: nothing is wrong with what was to be said, and it can be said
# once somebody has mended the settings.
MISCONFIGURED = frozenset(
    {60004, 60005, 60006, 60010, 60012}
    | {70001, 70002, 70003, 70005, 70009, 70013, 70014, 70016, 70020, 70050, 70051, 70052}
)

# Bytes. Newer pages of Tencent allow more: what the older ones allow is right for both.
NAME_BYTES = 30
GROUP_FACE_BYTES = 100
PROFILE_BYTES = 500
MESSAGE_BYTES = 8 * 1024

GENDERS = {1: "Gender_Type_Male", 2: "Gender_Type_Female"}


class IMRefused(Exception):
    """Tencent IM said no and would say so again: our bug."""

    def __init__(self, code: int, info: str) -> None:
        super().__init__(f"{code} {info}")
        self.code = code
        self.info = info


class IM:
    """The commands that the rooms need, as the administrator `admin`.

    Each is safe to repeat. Each raises ServiceAway when repeating later may help (away, busy,
    too often, settings that somebody has yet to mend) and IMRefused when it will not.
    """

    def __init__(self, outside: Outside, sigs: UserSigs, admin: str) -> None:
        self._outside = outside
        self._sigs = sigs
        self._admin = admin

    async def account_import(self, user_id: str, nick: str, face_url: str) -> None:
        """Makes the user known to IM; a user known already only gets the new name and face."""
        account = {
            "UserID": user_id,
            "Nick": cut(nick, PROFILE_BYTES),
            "FaceUrl": fitting(face_url, PROFILE_BYTES),
        }
        body = {name: value for name, value in account.items() if value}
        await self._command("im_open_login_svc/account_import", body)

    async def create_group(self, group_id: str, name: str, owner: str, face_url: str) -> str:
        """The id of an AVChatRoom: unlimited members, no history, dissolved only by its owner.

        `group_id` at most 48 bytes of ASCII. An owner unknown to IM is imported first.
        """
        body = {
            "Owner_Account": owner,
            "Type": "AVChatRoom",
            "GroupId": group_id,
            "Name": cut(name, NAME_BYTES) or group_id[:NAME_BYTES],
        }
        if face := fitting(face_url, GROUP_FACE_BYTES):
            body["FaceUrl"] = face
        command = "group_open_http_svc/create_group"
        try:
            answer = await self._command(command, body, also_fine={GROUP_IS_OURS})
        except IMRefused as refused:
            if refused.code not in NO_ACCOUNT:
                raise
            await self.account_import(owner, "", "")
            answer = await self._command(command, body, also_fine={GROUP_IS_OURS})
        return str(answer.get("GroupId") or group_id)

    async def portrait_set(self, user_id: str, nick: str, face_url: str, gender: int) -> None:
        """Sets name, face and gender (1 man, 2 woman, 0 not set) on the user's IM profile."""
        items = {
            "Tag_Profile_IM_Nick": cut(nick, PROFILE_BYTES),
            "Tag_Profile_IM_Gender": GENDERS.get(gender, "Gender_Type_Unknown"),
            "Tag_Profile_IM_Image": fitting(face_url, PROFILE_BYTES),
        }
        pairs = [{"Tag": tag, "Value": value} for tag, value in items.items()]
        body = {"From_Account": user_id, "ProfileItem": pairs}
        try:
            await self._command("profile/portrait_set", body)
        except IMRefused as refused:
            if refused.code not in NO_ACCOUNT:
                raise
            await self.account_import(user_id, nick, face_url)
            await self._command("profile/portrait_set", body)

    async def destroy_group(self, group_id: str) -> None:
        """Dissolves the group; one that is gone already is fine."""
        body = {"GroupId": group_id}
        await self._command("group_open_http_svc/destroy_group", body, also_fine={GROUP_IS_GONE})

    async def send_group_msg(
        self,
        group_id: str,
        text: str,
        random: int,
        priority: Literal["High", "Normal", "Low", "Lowest"],
        from_account: str | None = None,
    ) -> None:
        """Tells everybody in the group; by the administrator when it is by nobody.

        Said again within 5 minutes with the same `random` (uint32), a text is dropped. IM takes
        40 messages a second for one group, and leaves out those of less priority first.
        """
        body = {
            "GroupId": group_id,
            "Random": random,
            "MsgPriority": priority,
            "MsgBody": _text_body(text),
            **({"From_Account": from_account} if from_account else {}),
        }
        await self._command("group_open_http_svc/send_group_msg", body)

    async def send_text(
        self, to: str, text: str, random: int, seconds: int, from_account: str | None = None
    ) -> None:
        """Tells one user, who is imported first when unknown; kept for `seconds` (at most 7 days)
        until their phone is there, 0 not at all.

        Said again with the same `random` (uint32), a text is dropped within the same second only.
        """
        body = {
            "SyncOtherMachine": 2,  # the sender's own devices need not hear it
            "To_Account": to,
            "MsgLifeTime": seconds,
            "MsgRandom": random,
            "MsgBody": _text_body(text),
            **({"From_Account": from_account} if from_account else {}),
        }
        try:
            await self._command("openim/sendmsg", body)
        except IMRefused as refused:
            if refused.code not in NO_ACCOUNT:
                raise
            await self.account_import(to, "", "")
            await self._command("openim/sendmsg", body)

    async def _command(
        self, command: str, body: dict[str, Any], *, also_fine: Collection[int] = ()
    ) -> dict[str, Any]:
        """The answer; what the caller can mend (an account that IM does not know) is no warning."""
        answer = await self._ask(command, body, self._sigs.for_admin(self._admin))
        if _code(answer) in EXPIRED:
            answer = await self._ask(command, body, self._sigs.for_admin(self._admin, renew=True))
        code = _code(answer)
        if code == 0 or code in also_fine:
            return answer
        say = log.info if code in NO_ACCOUNT else log.warning
        say("im_refused", command=command, error_code=code)
        if code in MISCONFIGURED:
            log.error("im_misconfigured", command=command, error_code=code)
        if code in TRY_LATER | MISCONFIGURED:
            raise ServiceAway(self._outside.name)
        raise IMRefused(code, str(answer.get("ErrorInfo", "")))

    async def _ask(self, command: str, body: dict[str, Any], usersig: str) -> dict[str, Any]:
        query = {
            "sdkappid": str(self._sigs.sdk_app_id),
            "identifier": self._admin,
            "usersig": usersig,
            "random": str(secrets.randbits(32)),
            "contenttype": "json",
        }
        raw = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        response = await self._outside.post(
            f"/v4/{command}", query, raw, headers, safe_to_repeat=True
        )
        try:
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or type(answer.get("ErrorCode")) is not int:
            log.error("unreadable_answer_of_im", command=command, status=response.status)
            raise ServiceAway(self._outside.name)
        return answer


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, never half a character."""
    return text.encode()[:limit].decode(errors="ignore")


def fitting(url: str, limit: int) -> str:
    """The URL, or "" when it is longer than `limit` bytes: a cut address leads nowhere."""
    return url if len(url.encode()) <= limit else ""


def _text_body(text: str) -> list[dict[str, Any]]:
    """The body of a text message; IMRefused when IM would find it too long."""
    body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]
    if len(json.dumps(body, ensure_ascii=False).encode()) > MESSAGE_BYTES:
        raise IMRefused(TOO_LONG, "a message of more than 8 KB")
    return body


def _code(answer: dict[str, Any]) -> int:
    return int(answer["ErrorCode"])
