"""Simulated REST API and chat clients of Tencent IM, with accounts and groups in memory."""

import secrets
from collections.abc import Callable
from typing import Any

from config.sections import ImSettings
from devtools.simulator.im_access import Outcome, SimulatedSanctions, signed_at, usersig_error
from devtools.simulator.im_messages import SimulatedMessages, ask_server
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply

NOT_JSON, INVALID_URL, NOT_ADMIN, BAD_APP = 60003, 60009, 60010, 60006
NO_ACCOUNT, NO_PROFILE = 70107, 40003
BAD_PARAMETER, NOT_FOR_THIS_TYPE, GROUP_NOT_FOUND = 10004, 10007, 10010
USED_BY_ANOTHER, USED_BY_OWNER = 10021, 10025
MUTED, KICKED = 10017, 70052
NOT_IN_THIS_EDITION = 71000


class SimulatedIm:
    """Keeps accounts, groups and messages of one IM application.

    Tests use `accounts` (UserID -> profile), `groups` (GroupId -> create_group request),
    `messages` (SimulatedMessages.sent) and `sanctions`. Not every edition `deletes_accounts`.
    """

    def __init__(
        self, settings: ImSettings, now: Callable[[], float], callback_address: str = ""
    ) -> None:
        self.accounts: dict[str, dict[str, str]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.deletes_accounts = True
        messages = SimulatedMessages(self.groups, self.accounts, now)
        self.messages = messages.sent
        self.sanctions = sanctions = SimulatedSanctions(self.groups, self.accounts, now)
        self._callback_address = callback_address
        self._settings = settings
        self._now = now
        self._commands: dict[str, Callable[[dict[str, Any]], Outcome]] = {
            "/v4/im_open_login_svc/account_import": self._account_import,
            "/v4/im_open_login_svc/account_delete": self._account_delete,
            "/v4/im_open_login_svc/kick": sanctions.kick,
            "/v4/profile/portrait_set": self._portrait_set,
            "/v4/group_open_http_svc/create_group": self._create_group,
            "/v4/group_open_http_svc/get_group_info": self._get_group_info,
            "/v4/group_open_http_svc/destroy_group": self._destroy_group,
            "/v4/group_open_http_svc/forbid_send_msg": sanctions.forbid_send_msg,
            "/v4/group_open_http_svc/modify_group_base_info": sanctions.modify_group_base_info,
            "/v4/group_open_http_svc/send_group_msg": messages.send_group_msg,
            "/v4/openim/sendmsg": messages.sendmsg,
        }

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer every request with HTTP 200; the result is in ErrorCode."""
        return self._envelope(*self._outcome(request))

    async def chat(self, request: SimulatorRequest) -> SimulatorReply:
        """Log a chat client in with `{user_id, user_sig, group_id?}`; it may send to the group.

        With a message `{body, to?}` the server is asked before; `body` is IM's MsgBody. Only the
        envelope is that of IM, since the protocol of the real client is not public.
        """
        content = request.json_object()
        if content is None:
            return self._envelope(NOT_JSON, {})
        code, info = self._chat_error(content), ""
        if code == 0 and "body" in content:
            name, to = ("To_Account", "to") if "to" in content else ("GroupId", "group_id")
            message = {"From_Account": content["user_id"], name: content.get(to)}
            message["MsgBody"] = content["body"]
            code, info = await ask_server(
                self._callback_address, self._settings, message, self._now()
            )
        return self._envelope(code, {"ErrorInfo": info} if info else {})

    def _envelope(self, code: int, extra: dict[str, Any]) -> SimulatorReply:
        envelope = {"ActionStatus": "FAIL" if code else "OK", "ErrorCode": code}
        info = f"error {code}" if code else ""
        return json_reply({**envelope, "ErrorInfo": info, **extra})

    def _outcome(self, request: SimulatorRequest) -> Outcome:
        command = self._commands.get(request.path)
        if command is None or request.method != "POST":
            return INVALID_URL, {}
        if code := self._auth_error(request):
            return code, {}
        content = request.json_object()
        if content is None:
            return NOT_JSON, {}
        try:
            return command(content)
        except (KeyError, TypeError, ValueError):  # a field is missing or has another type
            return BAD_PARAMETER, {}

    def _auth_error(self, request: SimulatorRequest) -> int:
        query, settings = request.query, self._settings
        identifier = query.get("identifier", "")
        if query.get("sdkappid") != str(settings.sdk_app_id):
            return BAD_APP
        if identifier != settings.admin:
            return NOT_ADMIN
        usersig, key = query.get("usersig", ""), settings.secret_key
        return usersig_error(usersig, key, identifier, settings.sdk_app_id, self._now())

    def _chat_error(self, content: dict[str, Any]) -> int:
        user_id, usersig = str(content.get("user_id")), str(content.get("user_sig", ""))
        app, key = self._settings.sdk_app_id, self._settings.secret_key
        if code := usersig_error(usersig, key, user_id, app, self._now()):
            return code
        if self.sanctions.ended(user_id, signed_at(usersig)):
            return KICKED
        self.accounts.setdefault(user_id, {})
        group_id = content.get("group_id")
        if group_id is not None and group_id not in self.groups:
            return GROUP_NOT_FOUND
        return MUTED if self.sanctions.is_muted(str(group_id), user_id) else 0

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
        self.sanctions.forget_group(group_id)  # it may have been removed without destroy_group
        return 0, {"GroupId": group_id}

    def _get_group_info(self, content: dict[str, Any]) -> Outcome:
        """Return groups; the result of each is in its ErrorCode."""
        return 0, {"GroupInfo": [self._group_info(id_) for id_ in content["GroupIdList"]]}

    def _group_info(self, group_id: str) -> dict[str, Any]:
        group = self.groups.get(group_id)
        if group is None:
            return {"GroupId": group_id, "ErrorCode": GROUP_NOT_FOUND}
        info = {name: group.get(name, "") for name in ("Type", "Name", "Owner_Account")}
        return {"GroupId": group_id, "ErrorCode": 0, **info}

    def _destroy_group(self, content: dict[str, Any]) -> Outcome:
        group_id = str(content.get("GroupId"))
        missing = self.groups.pop(group_id, None) is None
        self.sanctions.forget_group(group_id)
        return (GROUP_NOT_FOUND if missing else 0), {}
