"""Every "no" that a caller can hear, drawn as a tree.

Refusal
├── BadRequest 400        the request itself is wrong
│   ├── BadParameter      bad_parameter, with the reason per field
│   ├── UnknownApp        unknown_app
│   └── BadEncryptedData  encrypted_data
├── NotSignedIn 401       token
│   ├── LogInAgain        log_in_again
│   ├── BadWechatCode     wechat_code
│   └── NotAnOperator     ops_token
├── NotAllowed 403        not_allowed
│   ├── Banned            banned
│   ├── PutOut            put_out
│   ├── NotHost           not_host
│   ├── NotMatchmaker     not_matchmaker
│   ├── NotYourRoom       not_in_room (reading a room one is not in)
│   ├── WechatBlocked     wechat_blocked
│   └── CallbackRefused   callback_refused
├── NoSuchThing 404       no_such_thing
│   ├── NoSuchRoom        no_such_room
│   ├── NoSuchUser        no_such_user
│   ├── NoSuchGift        no_such_gift
│   ├── NoSuchBlock       no_such_block
│   └── NoSuchPage        no_such_page
├── WrongMethod 405       wrong_method
├── NotNow 409            the state does not permit it
│   ├── NotLive           not_live
│   ├── NotInRoom         not_in_room
│   ├── NoGender          no_gender
│   ├── OnMic             on_mic
│   ├── InUse             gender_in_use
│   ├── SeatTaken         seat_taken
│   ├── NotAdmitted       not_admitted
│   ├── HostIsLive        host_is_live
│   └── HostMustEnd       host_must_end
├── TooLarge 413          too_large
├── TooMany 429           too_many, with Retry-After
└── Away 503              away, with Retry-After
    ├── TryAgain          try_again
    ├── StorageAway       storage_away
    └── ServiceAway       <service>_away
"""


class Refusal(Exception):
    """A "no" with a word for programs (`code`) and a sentence for people (`detail`)."""

    status = 400
    code = "refused"
    detail = "This cannot be done."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail


class BadRequest(Refusal):
    status, code = 400, "bad_request"
    detail = "The request could not be understood."


class BadParameter(BadRequest):
    """`fields` says per parameter what is wrong with it."""

    code = "bad_parameter"

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in fields.items()))
        self.fields = fields


class UnknownApp(BadRequest):
    code, detail = "unknown_app", "This appId is not one of ours."


class BadEncryptedData(BadRequest):
    code, detail = (
        "encrypted_data",
        "The encrypted data do not fit this login: call wx.login again.",
    )


class NotSignedIn(Refusal):
    """`scheme` is how the caller should say who it is."""

    status, code = 401, "token"
    detail = "Please log in."
    scheme = "QLiveToken"


class LogInAgain(NotSignedIn):
    """WeChat's session key of this person is not at hand."""

    code, detail = "log_in_again", "Call wx.login and log in once more, then try again."


class BadWechatCode(NotSignedIn):
    code, detail = "wechat_code", "This WeChat code is wrong, used or too old: call wx.login again."


class NotAnOperator(NotSignedIn):
    code, detail = "ops_token", "The operators' token is missing or wrong."
    scheme = "Bearer"


class NotAllowed(Refusal):
    status, code = 403, "not_allowed"
    detail = "You may not do this."


class Banned(NotAllowed):
    code, detail = "banned", "This account has been banned."


class PutOut(NotAllowed):
    code, detail = "put_out", "You have been put out of this room."


class NotHost(NotAllowed):
    code, detail = "not_host", "Only the host of this room may do this."


class NotMatchmaker(NotAllowed):
    code, detail = "not_matchmaker", "Only matchmakers can open a room."


class NotYourRoom(NotAllowed):
    code, detail = "not_in_room", "You are not in this room."


class WechatBlocked(NotAllowed):
    code, detail = "wechat_blocked", "WeChat has blocked this login as risky."


class CallbackRefused(NotAllowed):
    code, detail = "callback_refused", "This is no callback that we can trust."


class NoSuchThing(Refusal):
    status, code = 404, "no_such_thing"
    detail = "There is no such thing."


class NoSuchRoom(NoSuchThing):
    code, detail = "no_such_room", "There is no such room."


class NoSuchUser(NoSuchThing):
    code, detail = "no_such_user", "There is no such user."


class NoSuchGift(NoSuchThing):
    code, detail = "no_such_gift", "There is no such gift."


class NoSuchBlock(NoSuchThing):
    code, detail = "no_such_block", "There is no such recharge block."


class NoSuchPage(NoSuchThing):
    code, detail = "no_such_page", "There is no such page."


class WrongMethod(Refusal):
    status, code = 405, "wrong_method"
    detail = "This path does not answer that method."


class NotNow(Refusal):
    status, code = 409, "not_now"
    detail = "This is not possible at the moment."


class NotLive(NotNow):
    code, detail = "not_live", "This room is not live."


class NotInRoom(NotNow):
    code, detail = "not_in_room", "Only possible for somebody who is in the room."


class NoGender(NotNow):
    code, detail = "no_gender", "A gender must be set before going on mic."


class OnMic(NotNow):
    code, detail = "on_mic", "Not possible for somebody who is on mic."


class InUse(NotNow):
    code, detail = "gender_in_use", "The gender cannot change while applied or on mic."


class SeatTaken(NotNow):
    code, detail = "seat_taken", "Somebody else has this seat."


class NotAdmitted(NotNow):
    code, detail = "not_admitted", "Apply for the mic or wait for an invitation first."


class HostIsLive(NotNow):
    code, detail = "host_is_live", "End your own live first."


class HostMustEnd(NotNow):
    code, detail = "host_must_end", "The host cannot leave; end the live instead."


class TooLarge(Refusal):
    status, code = 413, "too_large"
    detail = "The request is too large."


class TooMany(Refusal):
    """Slow down; `retry_after` in seconds."""

    status, code = 429, "too_many"
    detail = "Too many requests; try again later."
    retry_after = 60


class Away(Refusal):
    """Something that we depend on is down; `retry_after` in seconds."""

    status, code = 503, "away"
    detail = "The service is not available at the moment; try again."
    retry_after = 2


class TryAgain(Away):
    code, detail = "try_again", "Too much at once; try again with the same request."
    retry_after = 1


class StorageAway(Away):
    code, detail = "storage_away", "The database is not available at the moment; try again."


class ServiceAway(Away):
    """A service outside (wechat, im, pay) does not answer, or not sensibly."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} does not answer at the moment; try again.")
        self.code = f"{service}_away"
