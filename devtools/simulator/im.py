"""Simulated Tencent IM: REST API and chat clients, with accounts and groups in memory."""

import base64
import hashlib
import hmac
import json
import secrets
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPRequest

from config.sections import ImSettings
from devtools.simulator.notifications import (
    JSON_HEADERS,
    SimulatedDelivery,
    post_notification,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

NOT_JSON, INVALID_URL, NOT_ADMIN, BAD_APP = 60003, 60009, 60010, 60006
EMPTY, MALFORMED, INVALID_SIGNATURE, EXPIRED = 70002, 70003, 70009, 70001
OTHER_USER, OTHER_APP = 70013, 70014
NO_ACCOUNT, NO_PROFILE, NO_USER = 70107, 40003, 20003
BAD_PARAMETER, NOT_FOR_THIS_TYPE, GROUP_NOT_FOUND = 10004, 10007, 10010
USED_BY_ANOTHER, USED_BY_OWNER = 10021, 10025
MUTED, KICKED = 10017, 70052
NOT_IN_THIS_EDITION = 71000
BAD_FRIEND, NO_FRIEND_ACCOUNT, NOT_A_FRIEND = 30001, 30003, 31704

FIELDS = {"TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire", "TLS.sig"}
DEDUPLICATION_SECONDS = 300.0  # for a group; for one user only within the same second
MAX_RECORDED = 1000
ANSWER_SECONDS = 2.0
GROUP_CODES, USER_CODES = range(10100, 10201), range(120001, 130001)

Outcome = tuple[int, dict[str, Any]]
"""ErrorCode and the other fields of an answer of IM."""


@dataclass(eq=False)
class SimulatedIm:
    """Accounts, groups, messages, kicks and mutes of one IM application.

    Tests use `accounts` (UserID -> profile), `groups` (GroupId -> create_group request), `kicked`
    (UserID -> Unix seconds), `friends` (UserID -> UserIDs), `muted` (GroupId -> UserID -> until),
    and `messages`, the last MAX_RECORDED ones as `{"group" | "to", "text", "priority"?, "random"}`.
    Not every edition `deletes_accounts`. Dissolved groups are reported if there is a `delivery`.
    """

    _settings: ImSettings
    _now: Callable[[], float]
    _callback_address: str = ""
    _delivery: SimulatedDelivery | None = None
    accounts: dict[str, dict[str, str]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    kicked: dict[str, int] = field(default_factory=dict)
    friends: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    muted: dict[str, dict[str, float]] = field(default_factory=dict)
    messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_RECORDED))
    deletes_accounts: bool = True
    _sequence: Iterator[int] = field(default_factory=lambda: count(1))
    _answered: dict[tuple[object, ...], tuple[float, dict[str, Any]]] = field(default_factory=dict)
    _commands: dict[str, Callable[[dict[str, Any]], Outcome]] = field(init=False)

    def __post_init__(self) -> None:
        self._commands = {
            "/v4/im_open_login_svc/account_check": self._account_check,
            "/v4/im_open_login_svc/account_import": self._account_import,
            "/v4/im_open_login_svc/account_delete": self._account_delete,
            "/v4/im_open_login_svc/kick": self._kick,
            "/v4/profile/portrait_set": self._portrait_set,
            "/v4/group_open_http_svc/create_group": self._create_group,
            "/v4/group_open_http_svc/get_group_info": self._get_group_info,
            "/v4/group_open_http_svc/destroy_group": self._destroy_group,
            "/v4/group_open_http_svc/forbid_send_msg": self._forbid_send_msg,
            "/v4/group_open_http_svc/modify_group_base_info": self._modify_group_base_info,
            "/v4/group_open_http_svc/send_group_msg": self._send_group_msg,
            "/v4/openim/sendmsg": self._sendmsg,
            "/v4/sns/friend_add": self._friend_add,
            "/v4/sns/friend_delete": self._friend_delete,
        }

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer every request with HTTP 200; the result is in ErrorCode."""
        return envelope(*self._outcome(request))

    def is_muted(self, group_id: str, user_id: str) -> bool:
        group = self.groups.get(group_id, {})
        if group.get("MuteAllMember") == "On" and user_id != group.get("Owner_Account"):
            return True
        return self.muted.get(group_id, {}).get(user_id, 0) > self._now()

    # ---- chat clients

    async def chat(self, request: SimulatorRequest) -> SimulatorReply:
        """Log a chat client in with `{user_id, user_sig, group_id?}`; it may send to the group.

        With a message `{body, to?}` the server is asked before; `body` is IM's MsgBody. Only the
        envelope is that of IM, since the protocol of the real client is not public.
        """
        content = request.json_object()
        if content is None:
            return envelope(NOT_JSON, {})
        code, info = self._chat_error(content), ""
        if code == 0 and "body" in content:
            name, to = ("To_Account", "to") if "to" in content else ("GroupId", "group_id")
            message = {"From_Account": content["user_id"], name: content.get(to)}
            code, info = await self._ask_server({**message, "MsgBody": content["body"]})
        return envelope(code, {"ErrorInfo": info} if info else {})

    def _chat_error(self, content: dict[str, Any]) -> int:
        user_id, usersig = str(content.get("user_id")), str(content.get("user_sig", ""))
        if code := self.usersig_error(usersig, user_id):
            return code
        sig = _read_usersig(usersig)
        # A kick ends the UserSigs that were signed before; their time has whole seconds only.
        if sig and sig["TLS.time"] <= self.kicked.get(user_id, -1):
            return KICKED
        self.accounts.setdefault(user_id, {})
        group_id = content.get("group_id")
        if group_id is not None and group_id not in self.groups:
            return GROUP_NOT_FOUND
        return MUTED if self.is_muted(str(group_id), user_id) else 0

    async def _ask_server(self, message: Mapping[str, Any]) -> tuple[int, str]:
        """Send the callback before a message of a chat client, with GroupId or To_Account.

        Returns the code and text of a refusal. After any other answer, or none in time, the code
        is 0: the message is sent.
        """
        in_group = "GroupId" in message
        command = f"{'Group' if in_group else 'C2C'}.CallbackBeforeSendMsg"
        _status, body = await post_notification(self._callback(command, message), ANSWER_SECONDS)
        try:
            answer = json.loads(body)
            code, info = int(answer["ErrorCode"]), str(answer["ErrorInfo"])
        except (ValueError, KeyError, TypeError):
            return 0, ""
        return (code, info) if code in (GROUP_CODES if in_group else USER_CODES) else (0, "")

    def _callback(self, command: str, content: Mapping[str, Any]) -> HTTPRequest:
        """Build a signed callback of IM."""
        now = self._now()
        signed = f"{self._settings.callback_token}{int(now)}".encode()
        query = {
            "SdkAppid": self._settings.sdk_app_id,
            "CallbackCommand": command,
            "Sign": hashlib.sha256(signed).hexdigest(),
            "RequestTime": int(now),
        }
        body = json.dumps({"CallbackCommand": command, **content, "EventTime": int(now * 1000)})
        url = f"{self._callback_address}?{urlencode(query)}"
        return HTTPRequest(url, "POST", JSON_HEADERS, body.encode())

    # ---- authentication

    def _outcome(self, request: SimulatorRequest) -> Outcome:
        command = self._commands.get(request.path)
        if command is None or request.method != "POST":
            return INVALID_URL, {}
        query, identifier = request.query, request.query.get("identifier", "")
        if query.get("sdkappid") != str(self._settings.sdk_app_id):
            return BAD_APP, {}
        if identifier != self._settings.admin:
            return NOT_ADMIN, {}
        if code := self.usersig_error(query.get("usersig", ""), identifier):
            return code, {}
        content = request.json_object()
        if content is None:
            return NOT_JSON, {}
        try:
            return command(content)
        except (KeyError, TypeError, ValueError):  # a field is missing or has another type
            return BAD_PARAMETER, {}

    def usersig_error(self, usersig: str, identifier: str) -> int:
        """Return IM's error number; 0 if `usersig` authenticates `identifier` now.

        The check is written independently of the signing side.
        """
        if not usersig:
            return EMPTY
        sig = _read_usersig(usersig)
        if sig is None:
            return MALFORMED
        names = ["identifier", "sdkappid", "time", "expire"]
        if "TLS.userbuf" in sig:
            names.append("userbuf")
        signed = "".join(f"TLS.{name}:{sig[f'TLS.{name}']}\n" for name in names)
        digest = hmac.digest(self._settings.secret_key.encode(), signed.encode(), hashlib.sha256)
        if not hmac.compare_digest(base64.b64encode(digest), str(sig["TLS.sig"]).encode()):
            return INVALID_SIGNATURE
        if sig["TLS.time"] + sig["TLS.expire"] < self._now():
            return EXPIRED
        if sig["TLS.identifier"] != identifier:
            return OTHER_USER
        return 0 if sig["TLS.sdkappid"] == self._settings.sdk_app_id else OTHER_APP

    # ---- accounts

    def _account_check(self, content: dict[str, Any]) -> Outcome:
        """Return which accounts exist; the administrator's does without an import."""
        known = {*self.accounts, self._settings.admin}
        results = []
        for item in content["CheckItem"]:
            status = "Imported" if item["UserID"] in known else "NotImported"
            results.append({"UserID": item["UserID"], "ResultCode": 0, "AccountStatus": status})
        return 0, {"ResultItem": results}

    def _account_import(self, content: dict[str, Any]) -> Outcome:
        profile = self.accounts.setdefault(content["UserID"], {})
        for name in ("Nick", "FaceUrl"):
            if isinstance(content.get(name), str):
                profile[name] = content[name]
        return 0, {}

    def _account_delete(self, content: dict[str, Any]) -> Outcome:
        """Delete accounts; the result of each is in its ResultCode."""
        if not self.deletes_accounts:
            return NOT_IN_THIS_EDITION, {}
        user_ids = [item["UserID"] for item in content["DeleteItem"]]
        found = [(id_, self.accounts.pop(id_, None) is not None) for id_ in user_ids]
        results = [{"UserID": id_, "ResultCode": 0 if ok else NO_ACCOUNT} for id_, ok in found]
        return 0, {"ResultItem": results}

    def _portrait_set(self, content: dict[str, Any]) -> Outcome:
        profile = self.accounts.get(str(content.get("From_Account")))
        if profile is None:
            return NO_PROFILE, {}
        profile.update({item["Tag"]: item["Value"] for item in content["ProfileItem"]})
        return 0, {"ErrorDisplay": ""}

    def _kick(self, content: dict[str, Any]) -> Outcome:
        user_id = str(content.get("UserID"))
        if user_id not in self.accounts:
            return NO_ACCOUNT, {}
        self.kicked[user_id] = int(self._now())
        return 0, {}

    # ---- friends

    def _friend_add(self, content: dict[str, Any]) -> Outcome:
        """Make users friends of one another; the result of each is in its ResultCode."""
        user_id, results = content["From_Account"], list[dict[str, Any]]()
        if user_id not in self.accounts:
            return NO_FRIEND_ACCOUNT, {}
        for item in content["AddFriendItem"]:
            other, code, info = item["To_Account"], 0, ""
            if other not in self.accounts:
                code = NO_FRIEND_ACCOUNT
            elif not item["AddSource"].startswith("AddSource_Type_"):
                code = BAD_FRIEND
            elif other in self.friends[user_id]:
                code, info = BAD_FRIEND, "Err_SNS_FriendAdd_Friend_Exist"
            else:
                self.friends[user_id].add(other)
                self.friends[other].add(user_id)
            results.append({"To_Account": other, "ResultCode": code, "ResultInfo": info})
        return 0, {"ResultItem": results, "ErrorDisplay": ""}

    def _friend_delete(self, content: dict[str, Any]) -> Outcome:
        user_id, results = content["From_Account"], list[dict[str, Any]]()
        if user_id not in self.accounts:
            return NO_FRIEND_ACCOUNT, {}
        for other in content["To_Account"]:
            code = 0 if other in self.friends[user_id] else NOT_A_FRIEND
            self.friends[user_id].discard(other)
            self.friends[other].discard(user_id)
            results.append({"To_Account": other, "ResultCode": code, "ResultInfo": ""})
        return 0, {"ResultItem": results, "ErrorDisplay": ""}

    # ---- groups

    def _create_group(self, content: dict[str, Any]) -> Outcome:
        if content.get("Type") != "AVChatRoom" or not content.get("Name"):
            return BAD_PARAMETER, {}
        if "MemberList" in content:
            return NOT_FOR_THIS_TYPE, {}
        owner = content.get("Owner_Account")
        if owner is not None and owner not in self.accounts:
            return NO_ACCOUNT, {}
        group_id = content.get("GroupId") or f"@TGS#{secrets.token_hex(5).upper()}"
        if group := self.groups.get(group_id):
            same_owner = group.get("Owner_Account") == owner
            return (USED_BY_OWNER if same_owner else USED_BY_ANOTHER), {}
        self.groups[group_id] = content
        self.muted.pop(group_id, None)  # it may have been removed without destroy_group
        return 0, {"GroupId": group_id}

    def _get_group_info(self, content: dict[str, Any]) -> Outcome:
        """Return groups; the result of each is in its ErrorCode."""
        found: list[dict[str, Any]] = []
        for group_id in content["GroupIdList"]:
            group = self.groups.get(group_id)
            if group is None:
                found.append({"GroupId": group_id, "ErrorCode": GROUP_NOT_FOUND})
            else:
                info = {name: group.get(name, "") for name in ("Type", "Name", "Owner_Account")}
                found.append({"GroupId": group_id, "ErrorCode": 0, **info})
        return 0, {"GroupInfo": found}

    def _destroy_group(self, content: dict[str, Any]) -> Outcome:
        group_id = str(content.get("GroupId"))
        self.muted.pop(group_id, None)
        group = self.groups.pop(group_id, None)
        if group is None:
            return GROUP_NOT_FOUND, {}
        if self._delivery:
            about = {"GroupId": group_id, "Type": group["Type"], "Name": group["Name"]}
            request = self._callback("Group.CallbackAfterGroupDestroyed", about)
            # Once, as IM does unless its console says otherwise.
            self._delivery.run(lambda _attempt: post_notification(request, ANSWER_SECONDS))
        return 0, {}

    def _forbid_send_msg(self, content: dict[str, Any]) -> Outcome:
        group_id, user_ids = str(content.get("GroupId")), content["Members_Account"]
        if group_id not in self.groups:
            return GROUP_NOT_FOUND, {}
        if any(user_id not in self.accounts for user_id in user_ids):
            return NO_ACCOUNT, {}
        until = self._now() + content["MuteTime"]  # 0 lifts it
        self.muted.setdefault(group_id, {}).update(dict.fromkeys(user_ids, until))
        return 0, {}

    def _modify_group_base_info(self, content: dict[str, Any]) -> Outcome:
        """Set `MuteAllMember`; whether more than the owner may then write is not documented."""
        group = self.groups.get(str(content.get("GroupId")))
        if group is None:
            return GROUP_NOT_FOUND, {}
        group["MuteAllMember"] = content["MuteAllMember"]
        return 0, {}

    # ---- messages

    def _send_group_msg(self, content: dict[str, Any]) -> Outcome:
        group_id, sender = content["GroupId"], content.get("From_Account")
        if sender is not None and sender not in self.accounts:
            return NO_ACCOUNT, {}
        if group_id not in self.groups:
            return GROUP_NOT_FOUND, {}
        recipient = {"group": group_id, "priority": content.get("MsgPriority", "Normal")}
        answer = {"MsgSeq": next(self._sequence)}
        return self._accept(recipient, content["MsgBody"], content["Random"], answer)

    def _sendmsg(self, content: dict[str, Any]) -> Outcome:
        to, random, second = content["To_Account"], content["MsgRandom"], int(self._now())
        if any(user not in self.accounts for user in (to, content.get("From_Account", to))):
            return NO_USER, {}
        answer = {"MsgKey": f"{random}_{random}_{second}"}
        return self._accept({"to": to}, content["MsgBody"], random, answer, second)

    def _accept(
        self,
        recipient: dict[str, Any],
        body: list[dict[str, Any]],
        random: int,
        answer: dict[str, Any],
        second: int = 0,
    ) -> Outcome:
        """Record a message, unless it is a repetition, which gets the first answer again."""
        now = self._now()
        while self._answered:  # ordered by age, oldest first
            oldest = next(iter(self._answered))
            if now - self._answered[oldest][0] < DEDUPLICATION_SECONDS:
                break
            del self._answered[oldest]
        key = (*recipient.values(), random, json.dumps(body), second)
        if key in self._answered:
            return 0, self._answered[key][1]
        self._answered[key] = now, {"MsgTime": int(now), **answer}
        element = body[0]["MsgContent"]
        text = element["Text"] if "Text" in element else element["Data"]
        self.messages.append({**recipient, "text": text, "random": random})
        return 0, self._answered[key][1]


def envelope(code: int, extra: dict[str, Any]) -> SimulatorReply:
    envelope = {"ActionStatus": "FAIL" if code else "OK", "ErrorCode": code}
    info = f"error {code}" if code else ""
    return json_reply({**envelope, "ErrorInfo": info, **extra})


def _read_usersig(usersig: str) -> dict[str, Any] | None:
    text = usersig.translate(str.maketrans("*-_", "+/="))
    try:
        sig = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error):
        return None
    return sig if isinstance(sig, dict) and sig.keys() >= FIELDS else None
