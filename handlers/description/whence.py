"""Which calls answer which refusal, beside those that every call of their kind has.

A place is a call, a class or a module, as `Call.name` writes them; the tests hold every refusal
that they see against it.
"""

from money.refusals import (
    InsufficientGold,
    NoSuchEntry,
    NotOwed,
    NotReversible,
    RequestIdReused,
)
from money.refusals import Refusal as MoneyRefusal
from rooms.refusals import (
    Away,
    BadEncryptedData,
    BadWechatCode,
    HostIsLive,
    HostMustEnd,
    InUse,
    LogInAgain,
    NoGender,
    NoSuchBlock,
    NoSuchGift,
    NoSuchPage,
    NoSuchRoom,
    NoSuchThing,
    NoSuchUser,
    NotAdmitted,
    NotAllowed,
    NotHost,
    NotInRoom,
    NotLive,
    NotMatchmaker,
    NotYourRoom,
    OnMic,
    PutOut,
    Refusal,
    SeatTaken,
    TooMany,
    UnknownApp,
    WechatBlocked,
)

_LOGIN = "users.Login users.CreateUser"
_TO_THE_MIC = "mic.ApplyMicro mic.InviteMicro mic.AcceptMicro"
_OPS_ROOM = "ops.live.OneRoom ops.live.Inside ops.live.EndLive ops.live.PutOut ops.live.LetIn"
_ASKS_BACK = "payments.XpayNotice.post ops.money.RunAgain"

PLACES: dict[type[Refusal] | type[MoneyRefusal], str] = {
    UnknownApp: _LOGIN,
    BadEncryptedData: "users.CreateUser",
    BadWechatCode: _LOGIN,
    WechatBlocked: _LOGIN,
    LogInAgain: "pay.Pay.post",
    NotAllowed: "socket",
    PutOut: "rooms.GetPlayurl",
    NotHost: "mic.InviteMicro mic.LeaveMicro rooms.PutOut rooms.LiveEnd",
    NotMatchmaker: "rooms.MatchmakerEnter",
    NotYourRoom: "rooms.GetUsersInfo",
    NoSuchThing: "ops.shelves.OneConfig ops.money.RunAgain",
    NoSuchRoom: "mic rooms.GetPlayurl rooms.GetUsersInfo rooms.LeaveRoom rooms.PutOut "
    f"rooms.LiveEnd ranks.Rank {_OPS_ROOM}",
    NoSuchUser: "users.GetUserinfo mic.InviteMicro rooms.PutOut gifts.PushGift likes "
    "ops.people.OneUser ops.people.GrantGold ops.people.SettleDebt ops.live.PutOut",
    NoSuchGift: "gifts.PushGift ops.shelves.OneGift",
    NoSuchBlock: "pay.Pay.post ops.shelves.OneBlock",
    NoSuchPage: "gifts.GiftList",
    NoSuchEntry: "ops.money.Reverse",
    NotLive: f"{_TO_THE_MIC} rooms.GetPlayurl rooms.PutOut ops.live.PutOut",
    NotInRoom: _TO_THE_MIC,
    NoGender: _TO_THE_MIC,
    OnMic: _TO_THE_MIC,
    SeatTaken: "mic.InviteMicro mic.AcceptMicro",
    NotAdmitted: "mic.AcceptMicro",
    InUse: "users.UpdateUserinfo",
    HostIsLive: "rooms.GetPlayurl",
    HostMustEnd: "rooms.LeaveRoom",
    InsufficientGold: "gifts.PushGift ops.people.SettleDebt ops.money.Reverse",
    RequestIdReused: "gifts.PushGift ops.people.GrantGold ops.people.SettleDebt",
    NotReversible: "ops.money.Reverse",
    NotOwed: "ops.people.SettleDebt",
    TooMany: f"{_LOGIN} pay.Pay.post socket",
    Away: "socket",
}

SERVICES = {
    "wechat": f"{_LOGIN} {_ASKS_BACK}",
    "im": "rooms.MatchmakerEnter",
    "pay": f"pay.Pay.post {_ASKS_BACK}",
}
"""Whose silence is a refusal."""
