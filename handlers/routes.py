"""The contract on one screen: which path is which class."""

from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application

from handlers import (
    callbacks,
    configs,
    gifts,
    health,
    likes,
    mic,
    pay,
    payments,
    ranks,
    rooms,
    users,
)
from handlers.base import Handler, Missing
from handlers.description.pages import pages
from handlers.ops import live, money, overview, people, shelves
from handlers.pages import demo
from handlers.parts import Parts
from handlers.sim import Sim
from handlers.socket import Handshake, RoomSocket, Takeover
from handlers.static import WEB, Console, Static

BASE = "/wx/api/qlive/"

CONTRACT: list[tuple[str, type[Handler]]] = [
    ("qlive_user/", users.CreateUser),
    ("qlive_user/login/", users.Login),
    ("qlive_user/update_userinfo/", users.UpdateUserinfo),
    ("qlive_user/get_userinfo/", users.GetUserinfo),
    ("qlive_user/get_user_state/", users.GetUserState),
    ("qlive_user/get_users_info/", rooms.GetUsersInfo),
    ("qlive_user/logout/", users.Logout),
    ("get_livelist/", rooms.GetLivelist),
    ("get_playurl/", rooms.GetPlayurl),
    ("get_configs/", configs.GetConfigs),
    ("qlive_room/matchmaker_enter/", rooms.MatchmakerEnter),
    ("qlive_room/apply_micro/", mic.ApplyMicro),
    ("qlive_room/invite_micro/", mic.InviteMicro),
    ("qlive_room/accept_micro/", mic.AcceptMicro),
    ("qlive_room/refuse_micro/", mic.RefuseMicro),
    ("qlive_room/leave_micro/", mic.LeaveMicro),
    ("qlive_room/leave_room/", rooms.LeaveRoom),
    ("qlive_room/put_out/", rooms.PutOut),
    ("qlive_room/live_end/", rooms.LiveEnd),
    ("qlive_room/rank/", ranks.Rank),
    ("qlive_room/day_rank/", ranks.DayRank),
    ("qlive_gift/", gifts.GiftList),
    ("qlive_gift/push_gift/", gifts.PushGift),
    ("qlive_pay/", pay.Pay),
    ("qlive_pay/notify/", payments.JsapiNotice),
    ("qlive_pay/xpay_notify/", payments.XpayNotice),
    ("qlive_like/", likes.Like),
    ("im/callback/", callbacks.ImCallback),
    ("live/callback/", callbacks.LiveCallback),
    ("ws/", RoomSocket),
]

OPERATORS: list[tuple[str, type[Handler]]] = [
    ("overview", overview.Overview),
    ("users", people.Users),
    ("users/([0-9]{8})", people.OneUser),
    ("users/([0-9]{8})/grant", people.GrantGold),
    ("users/([0-9]{8})/settle", people.SettleDebt),
    ("rooms", live.Rooms),
    ("rooms/([0-9]{1,15})", live.OneRoom),
    ("rooms/([0-9]{1,15})/people", live.Inside),
    ("rooms/([0-9]{1,15})/end", live.EndLive),
    ("rooms/([0-9]{1,15})/put_out", live.PutOut),
    ("rooms/([0-9]{1,15})/let_in", live.LetIn),
    ("gifts", shelves.Gifts),
    ("gifts/([0-9]{1,15})", shelves.OneGift),
    ("blocks", shelves.Blocks),
    ("blocks/([0-9]{1,15})", shelves.OneBlock),
    ("configs", shelves.Configs),
    ("configs/([0-9]{1,15})", shelves.OneConfig),
    ("orders", money.Orders),
    ("ledger", money.Ledger),
    ("ledger/reverse", money.Reverse),
    ("inbox", money.Inbox),
    ("inbox/again", money.RunAgain),
    ("audit", shelves.AuditLog),
]

HEALTH: list[tuple[str, type[Handler]]] = [
    ("healthz", health.Healthz),
    ("readyz", health.Readyz),
    ("metrics", health.MetricsPage),
]

CALLS: tuple[tuple[str, type[Handler]], ...] = (
    *((BASE + path, handler) for path, handler in CONTRACT),
    *(("/ops/api/" + path, handler) for path, handler in OPERATORS),
    *(("/" + path, handler) for path, handler in HEALTH),
)
"""By path from the root; what the API description is made of."""


class Contract(Application):
    """Finds what has one path by that; Tornado itself tries a hundred patterns in turn."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        found = self.settings["exact"].get(request.path.removesuffix("/"))
        given = self.settings["given"]
        if found is RoomSocket and request.method == "GET":
            handshake = Handshake(given["parts"], request)
            why = handshake.refusal()
            if why is None:
                return Takeover(handshake)
            given = {**given, "why": why}
        if found:
            return self.get_handler_delegate(request, found, given)
        return super().find_handler(request, **kwargs)


def application(parts: Parts) -> Application:
    """Every path works with and without its trailing slash."""
    given = {"parts": parts}
    console = {"path": str(WEB / "ops"), "default_filename": "index.html"}
    routes: list[Any] = [
        *[(path.rstrip("/") + "/?", handler, given) for path, handler in CALLS],
        *pages(CALLS, parts),
        (r"/static/((?:faces|gifts)/.*)", Static, {"path": str(WEB)}),
        (r"/ops()", Console, console),
        (r"/ops/([a-z0-9]*(?:\.[a-z]+)?)", Console, console),
    ]
    if parts.simulator:
        routes += [(r"/sim(/.*)", Sim, given), *demo()]
    return Contract(
        routes,
        exact={path.rstrip("/"): handler for path, handler in CALLS if "(" not in path},
        given=given,
        default_handler_class=Missing,
        default_handler_args=given,
        log_function=lambda _handler: None,  # Handler.on_finish writes the line
    )
