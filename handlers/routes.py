"""The routing table: every path with its handler and its public name.

Those of the operators' API are in handlers/operator_routes.py.
"""

from collections.abc import Sequence
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from core.errors import NotFound
from handlers import health, moderation
from handlers.accounts import data_requests, follows, matches, profiles, sign_in
from handlers.base import Handler, Route
from handlers.context import Context
from handlers.gold import gifts
from handlers.operator_routes import OPS_ROUTES, permissions
from handlers.pages import WEB, ConsoleHandler, StaticHandler, pages
from handlers.payments import payments
from handlers.payouts import withdrawals
from handlers.rooms import bans, callbacks, deputies, mic, rooms, summaries, tickets
from handlers.websocket import handshake

BASE = "/wx/api/qlive/"

API_ROUTES: list[Route] = [
    Route("qlive_user/", sign_in.CreateUserHandler, "users.CreateUser"),
    Route("qlive_user/login/", sign_in.LoginHandler, "users.Login"),
    Route("qlive_user/update_userinfo/", profiles.UpdateUserinfoHandler, "users.UpdateUserinfo"),
    Route("qlive_user/upload_ticket/", profiles.UploadFormHandler, "users.UploadTicket"),
    Route("qlive_user/verify_age/", profiles.VerifyAgeHandler, "users.VerifyAge"),
    Route("qlive_user/giving_limits/", gifts.GivingLimitsHandler, "gifts.GivingLimits"),
    Route("qlive_user/get_userinfo/", profiles.GetUserinfoHandler, "users.GetUserinfo"),
    Route("qlive_user/get_user_state/", profiles.GetUserStateHandler, "users.GetUserState"),
    Route("qlive_user/get_users_info/", rooms.GetUsersInfoHandler, "rooms.GetUsersInfo"),
    Route("qlive_user/report/", moderation.ReportHandler, "users.Report"),
    Route("qlive_user/block/", moderation.BlockHandler, "users.Block"),
    Route("qlive_user/blocks/", moderation.BlocksHandler, "users.Blocks"),
    Route("qlive_user/export/", data_requests.ExportHandler, "users.Export"),
    Route("qlive_user/delete/", data_requests.DeleteHandler, "users.Delete"),
    Route("qlive_user/statement/", gifts.StatementHandler, "users.Statement"),
    Route("qlive_user/logout/", sign_in.LogoutHandler, "users.Logout"),
    Route("get_livelist/", rooms.GetLivelistHandler, "rooms.GetLivelist"),
    Route("get_playurl/", rooms.GetPlayurlHandler, "rooms.GetPlayurl"),
    Route("get_configs/", gifts.GetConfigsHandler, "configs.GetConfigs"),
    Route("qlive_room/matchmaker_enter/", rooms.MatchmakerEnterHandler, "rooms.MatchmakerEnter"),
    Route("qlive_room/update_room/", rooms.UpdateRoomHandler, "rooms.UpdateRoom"),
    Route("qlive_room/invitation/", tickets.TicketHandler, "rooms.Invitation"),
    Route(
        "qlive_room/invitation/withdraw/",
        tickets.WithdrawTicketHandler,
        "rooms.WithdrawInvitation",
    ),
    Route("qlive_room/apply_micro/", mic.ApplyMicroHandler, "mic.ApplyMicro"),
    Route("qlive_room/invite_micro/", mic.InviteMicroHandler, "mic.InviteMicro"),
    Route("qlive_room/accept_micro/", mic.AcceptMicroHandler, "mic.AcceptMicro"),
    Route("qlive_room/refuse_micro/", mic.RefuseMicroHandler, "mic.RefuseMicro"),
    Route("qlive_room/leave_micro/", mic.LeaveMicroHandler, "mic.LeaveMicro"),
    Route("qlive_room/leave_room/", rooms.LeaveRoomHandler, "rooms.LeaveRoom"),
    Route("qlive_room/put_out/", bans.RemoveUserHandler, "rooms.PutOut"),
    Route("qlive_room/bans/", bans.RoomBansHandler, "rooms.RoomBans"),
    Route("qlive_room/let_in/", bans.LetInHandler, "rooms.LetIn"),
    Route("qlive_room/mute/", bans.MuteHandler, "rooms.Mute"),
    Route("qlive_room/mute_all/", bans.MuteAllHandler, "rooms.MuteAll"),
    Route("qlive_room/deputy/", deputies.DeputyHandler, "rooms.Deputy"),
    Route("qlive_room/deputies/", deputies.DeputiesHandler, "rooms.Deputies"),
    Route("qlive_room/live_end/", rooms.LiveEndHandler, "rooms.LiveEnd"),
    Route("qlive_room/lives/", summaries.LivesHandler, "rooms.Lives"),
    Route("qlive_room/rank/", gifts.RankHandler, "rooms.Rank"),
    Route("qlive_room/day_rank/", gifts.DayRankHandler, "rooms.DayRank"),
    Route("qlive_gift/", gifts.GiftListHandler, "gifts.GiftList"),
    Route("get_giftlist/", gifts.GiftListHandler, "gifts.GiftListAlias"),
    Route("qlive_gift/push_gift/", gifts.PushGiftHandler, "gifts.PushGift"),
    Route("qlive_pay/", payments.PayHandler, "pay.Pay"),
    Route("qlive_pay/notify/", payments.JsapiCallbackHandler, "callbacks.JsapiNotice"),
    Route("qlive_pay/withdraw/", withdrawals.WithdrawHandler, "withdrawals.Withdraw"),
    Route(
        "qlive_pay/withdraw/cancel/",
        withdrawals.CancelWithdrawalHandler,
        "withdrawals.CancelWithdrawal",
    ),
    Route("qlive_pay/withdrawals/", withdrawals.WithdrawalsHandler, "withdrawals.Withdrawals"),
    Route(
        "qlive_pay/transfer_notify/",
        withdrawals.TransferCallbackHandler,
        "callbacks.TransferNotice",
    ),
    Route("qlive_pay/xpay_notify/", payments.XpayCallbackHandler, "callbacks.XpayNotice"),
    Route("qlive_like/", profiles.LikeHandler, "users.Like"),
    Route("qlive_follow/", follows.FollowHandler, "users.Follow"),
    Route("qlive_match/", matches.MatchesHandler, "users.Matches"),
    Route("qlive_match/end/", matches.EndMatchHandler, "users.EndMatch"),
    Route("im/callback/", callbacks.ImCallbackHandler, "callbacks.ImCallback"),
    Route("live/callback/", callbacks.LiveStreamingCallbackHandler, "callbacks.LiveCallback"),
    Route("ws/", handshake.RoomSocketHandler, "socket.RoomSocket"),
]

HEALTH_ROUTES: list[Route] = [
    Route("healthz", health.HealthzHandler, "health.Healthz"),
    Route("readyz", health.ReadyzHandler, "health.Readyz"),
    Route("metrics", health.MetricsHandler, "health.MetricsPage"),
]

ROUTES: tuple[Route, ...] = (
    *(route.under(BASE) for route in API_ROUTES),
    *(route.under("/ops/api/") for route in OPS_ROUTES),
    *(route.under("/") for route in HEALTH_ROUTES),
)
"""All routes with absolute paths; the OpenAPI document is generated from them."""


class NotFoundHandler(Handler):
    """404 for unknown paths; sent after the body was read, which keeps the connection open."""

    label = "Missing"

    async def _not_found(self) -> None:
        self.limit_address("anonymous")
        raise NotFound("There is no such path.")

    get = head = post = delete = patch = put = options = _not_found


class ApiApplication(Application):
    """Takes over the connection of a valid WebSocket handshake, without a handler."""

    def get_handler_delegate(
        self,
        request: HTTPServerRequest,
        target_class: type[RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        if target_class is handshake.RoomSocketHandler and request.method == "GET":
            assert target_kwargs
            upgrade = handshake.Handshake(target_kwargs["context"], request)
            error = upgrade.error()
            if error is None:
                return upgrade
            target_kwargs = {**target_kwargs, "why": error}
        return super().get_handler_delegate(
            request, target_class, target_kwargs, path_args, path_kwargs
        )


def application(
    context: Context, extra: Sequence[Any] = (), documented: tuple[Route, ...] = (), intro: str = ""
) -> Application:
    """Build the Tornado application; every path works with and without its trailing slash.

    `extra` are additional Tornado rules. The OpenAPI document describes those of the routes
    `documented` as well, with `intro` at the end of its description.
    """
    base_kwargs = {"context": context}
    console = {"path": str(WEB / "ops"), "default_filename": "index.html"}
    # The socket first: Tornado tries the rules in order, which took 27 µs of a handshake.
    ordered = sorted(ROUTES, key=lambda route: route.handler is not handshake.RoomSocketHandler)
    routes: list[Any] = [
        *[
            (route.path.rstrip("/") + "/?", route.handler, {**base_kwargs, "route": route})
            for route in ordered
        ],
        *pages((*ROUTES, *documented), context, intro),
        (r"/static/faces/(.*)", StaticHandler, {"path": str(WEB / "faces")}),
        (r"/static/gifts/(.*)", StaticHandler, {"path": str(WEB / "gifts")}),
        (r"/ops()", ConsoleHandler, console),
        (r"/ops/([a-z0-9_]*(?:\.[a-z]+)?)", ConsoleHandler, console),
        (r"/ops/shared/([a-z0-9_]+\.js)", ConsoleHandler, {"path": str(WEB / "shared")}),
        *extra,
    ]
    return ApiApplication(
        routes,
        permissions=permissions(),
        default_handler_class=NotFoundHandler,
        default_handler_args=base_kwargs,
        log_function=lambda _handler: None,  # Handler.on_finish writes the access log
    )
