"""The operators' API: every path with its handler, its public name, and who may read and change."""

from collections.abc import Mapping

from handlers import moderation as queue
from handlers import webhooks
from handlers.accounts import console as users
from handlers.base import Route, methods_of
from handlers.gold import console as gold
from handlers.operators import audit, login, overview, switches
from handlers.operators import console as operators
from handlers.payments import console as payments
from handlers.payouts import console as withdrawals
from handlers.refunds import console as refunds
from handlers.rooms import console as rooms
from services.operators.roles import INCLUDED, Access

MACHINE: Access = "machine"
VIEWER: Access = "viewer"
MODERATOR: Access = "moderator"
FINANCE: Access = "finance"
ADMIN: Access = "admin"
USER, ROOM, ID = "users/([0-9]{8})", "rooms/([0-9]{1,15})", "([0-9]{1,15})"
APPROVAL, REFUND = "approvals/([0-9a-f]+)", "refunds/([0-9A-Za-z]+)"
WITHDRAWAL = "withdrawals/([0-9A-Za-z]{1,32})"
OPERATOR = "operators/([a-z0-9._-]{1,32})"
ITEM = "moderation/([0-9a-f]{1,32})"
WEBHOOK, DELIVERY = "webhooks/([0-9a-f]{1,32})", "deliveries/([0-9a-z_]{1,32})"

OPS_ROUTES: list[Route] = [
    Route("login", login.OpsLoginHandler, "ops.login.Login"),
    Route("login/options", login.OpsLoginOptionsHandler, "ops.login.Options"),
    Route("login/setup", login.OpsLoginSetupHandler, "ops.login.Setup"),
    Route("login/first", login.OpsFirstLoginHandler, "ops.login.FirstLogin"),
    Route("session", login.OpsSessionHandler, "ops.login.Session", VIEWER, VIEWER),
    Route("account", login.OpsAccountHandler, "ops.login.Account", VIEWER, VIEWER),
    Route("overview", overview.OpsOverviewHandler, "ops.overview.Overview", MACHINE),
    Route("fleet", overview.OpsFleetHandler, "ops.fleet.Fleet", MACHINE),
    Route("charts", overview.OpsChartsHandler, "ops.fleet.Charts", MACHINE),
    Route("users", users.OpsUsersHandler, "ops.users.Users", VIEWER),
    Route(USER, users.OpsUserHandler, "ops.users.OneUser", VIEWER, MODERATOR),
    Route(f"{USER}/sessions", users.OpsSessionsHandler, "ops.users.Sessions", VIEWER, MODERATOR),
    Route(f"{USER}/grant", users.OpsGrantHandler, "ops.users.GrantGold", None, FINANCE),
    Route(f"{USER}/settle", users.OpsDebtHandler, "ops.users.SettleDebt", None, FINANCE),
    Route("rooms", rooms.OpsRoomsHandler, "ops.rooms.Rooms", VIEWER),
    Route(ROOM, rooms.OpsRoomHandler, "ops.rooms.OneRoom", VIEWER),
    Route(f"{ROOM}/streams", rooms.OpsRoomStreamsHandler, "ops.rooms.Streams", None, MODERATOR),
    Route(f"{ROOM}/people", rooms.OpsRoomMembersHandler, "ops.rooms.Members", VIEWER),
    Route(f"{ROOM}/end", rooms.OpsEndLiveHandler, "ops.rooms.EndLive", None, MODERATOR),
    Route(f"{ROOM}/put_out", rooms.OpsRemoveUserHandler, "ops.rooms.RemoveUser", None, MODERATOR),
    Route(f"{ROOM}/let_in", rooms.OpsLiftRoomBanHandler, "ops.rooms.LiftBan", None, MODERATOR),
    Route("lives", rooms.OpsLivesHandler, "ops.rooms.Lives", VIEWER),
    Route("lives.csv", rooms.OpsLivesCsvHandler, "ops.rooms.LivesFile", VIEWER),
    Route("moderation", queue.OpsItemsHandler, "ops.queue.Items", VIEWER),
    Route("moderation/policy", queue.OpsModerationPolicyHandler, "ops.queue.Policy", VIEWER),
    Route(f"{ITEM}/evidence", queue.OpsEvidenceHandler, "ops.queue.Evidence", MODERATOR),
    Route(f"{ITEM}/decide", queue.OpsDecideHandler, "ops.queue.DecideItem", None, MODERATOR),
    Route("gifts", gold.OpsGiftsHandler, "ops.catalogue.Gifts", VIEWER, ADMIN),
    Route(f"gifts/{ID}", gold.OpsGiftHandler, "ops.catalogue.OneGift", None, ADMIN),
    Route("blocks", payments.OpsBlocksHandler, "ops.catalogue.Blocks", VIEWER, ADMIN),
    Route(f"blocks/{ID}", payments.OpsBlockHandler, "ops.catalogue.OneBlock", None, ADMIN),
    Route(
        f"blocks/{ID}/next", payments.OpsNextBlockHandler, "ops.catalogue.NextBlock", None, ADMIN
    ),
    Route("configs", gold.OpsConfigsHandler, "ops.catalogue.Configs", VIEWER, ADMIN),
    Route(f"configs/{ID}", gold.OpsConfigHandler, "ops.catalogue.OneConfig", None, ADMIN),
    Route(f"configs/{ID}/next", gold.OpsNextConfigHandler, "ops.catalogue.NextConfig", None, ADMIN),
    Route("orders", payments.OpsOrdersHandler, "ops.money.Orders", VIEWER),
    Route("ledger", gold.OpsLedgerHandler, "ops.money.Ledger", VIEWER),
    Route("ledger/reverse", gold.OpsReversalHandler, "ops.money.Reverse", None, FINANCE),
    Route("approvals", operators.OpsApprovalsHandler, "ops.money.Approvals", VIEWER),
    Route(f"{APPROVAL}/confirm", operators.OpsConfirmHandler, "ops.money.Confirm", None, FINANCE),
    Route(f"{APPROVAL}/decline", operators.OpsDeclineHandler, "ops.money.Decline", None, FINANCE),
    Route("withdrawals", withdrawals.OpsWithdrawalsHandler, "ops.money.Withdrawals", FINANCE),
    Route(
        f"{WITHDRAWAL}/approve",
        withdrawals.OpsApproveWithdrawalHandler,
        "ops.money.ApproveWithdrawal",
        None,
        FINANCE,
    ),
    Route(
        f"{WITHDRAWAL}/decline",
        withdrawals.OpsDeclineWithdrawalHandler,
        "ops.money.DeclineWithdrawal",
        None,
        FINANCE,
    ),
    Route(
        "withdrawals/days",
        withdrawals.OpsWithdrawalDaysHandler,
        "ops.money.WithdrawalDays",
        FINANCE,
    ),
    Route(
        "withdrawals/report.csv",
        withdrawals.OpsWithdrawalReportHandler,
        "ops.money.WithdrawalReport",
        FINANCE,
    ),
    Route("refunds", refunds.OpsRefundsHandler, "ops.money.Refunds", FINANCE, FINANCE),
    Route(REFUND, refunds.OpsRefundHandler, "ops.money.OneRefund", FINANCE),
    Route(
        f"{REFUND}/confirm",
        refunds.OpsRefundConfirmHandler,
        "ops.money.ConfirmRefund",
        None,
        FINANCE,
    ),
    Route(f"{REFUND}/drop", refunds.OpsRefundDropHandler, "ops.money.DropRefund", None, FINANCE),
    Route(
        f"{REFUND}/settle", refunds.OpsRefundSettleHandler, "ops.money.SettleRefund", None, FINANCE
    ),
    Route("bills", payments.OpsBillsHandler, "ops.money.Bills", FINANCE),
    Route(
        "bills/differences", payments.OpsBillDifferencesHandler, "ops.money.Differences", FINANCE
    ),
    Route(
        "bills/differences/settle",
        payments.OpsCloseDifferenceHandler,
        "ops.money.SettleDifference",
        None,
        FINANCE,
    ),
    Route("inbox", payments.OpsInboxHandler, "ops.money.Inbox", FINANCE),
    Route("inbox/again", payments.OpsInboxRetryHandler, "ops.money.RetryMessage", None, FINANCE),
    Route("operators", operators.OpsOperatorsHandler, "ops.operators.Operators", ADMIN, ADMIN),
    Route(OPERATOR, operators.OpsOperatorHandler, "ops.operators.OneOperator", None, ADMIN),
    Route(f"{OPERATOR}/reset", operators.OpsResetHandler, "ops.operators.Reset", None, ADMIN),
    Route("switches", switches.OpsSwitchesHandler, "ops.switches.Switches", VIEWER),
    Route("switches/checks", switches.OpsSwitchChecksHandler, "ops.switches.Checks", None, ADMIN),
    Route("webhooks", webhooks.OpsWebhooksHandler, "ops.webhooks.Webhooks", ADMIN, ADMIN),
    Route(WEBHOOK, webhooks.OpsWebhookHandler, "ops.webhooks.OneWebhook", None, ADMIN),
    Route(
        f"{WEBHOOK}/rotate", webhooks.OpsRotateWebhookHandler, "ops.webhooks.Rotate", None, ADMIN
    ),
    Route(f"{WEBHOOK}/deliveries", webhooks.OpsDeliveriesHandler, "ops.webhooks.Deliveries", ADMIN),
    Route(
        f"{WEBHOOK}/{DELIVERY}/again",
        webhooks.OpsSendAgainHandler,
        "ops.webhooks.SendAgain",
        None,
        ADMIN,
    ),
    Route("audit", audit.OpsAuditHandler, "ops.audit.Log", VIEWER),
    Route("audit.csv", audit.OpsAuditCsvHandler, "ops.audit.File", VIEWER),
]


def permissions() -> Mapping[Access, list[str]]:
    """Return the operations that each role may use.

    They have the names of the audit log: `PATCH OneUser`.
    """
    operations = [
        (f"{method.upper()} {route.label}", access)
        for route in OPS_ROUTES
        for method in methods_of(route.handler)
        if (access := route.access(method))
    ]
    return {
        role: [name for name, access in operations if access in included]
        for role, included in INCLUDED.items()
    }
