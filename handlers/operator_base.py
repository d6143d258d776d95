"""Operators' API: authentication, roles, an audit entry per change, a count of reads."""

import csv
import hmac
import io
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import structlog

from core.errors import RateLimited
from handlers.base import Handler
from handlers.errors import InvalidOperatorToken, RoleRequired
from handlers.models import Response, TextResponse
from handlers.request_data import limit_key
from ledger.journal import Unit
from services.operators.roles import Operator
from storage.operators.approvals import Approval, ApprovalKind, ApprovalState
from storage.operators.operators import SESSION_TOKEN


class ApprovalResponse(Response):
    """A request that waits for another operator until `expires_at`.

    `on` is a user, an entry, a config's key or a block's number. `gold` is the amount, of income if
    that is the `unit`. `before` and `after` are the row of a config or block, {} without one.
    """

    id: str
    kind: ApprovalKind
    on: str
    gold: int
    unit: Unit
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str
    by: str
    made_at: datetime
    expires_at: datetime
    state: ApprovalState
    decided_by: str
    decision_reason: str
    decided_at: datetime | None


class NextFieldsResponse(Response):
    """`fields` that change at the time `at`, a midnight in China; a block's price is in `fen`."""

    fields: dict[str, Any]
    at: datetime


View = TypeVar("View", bound=Response)
PAGE_SIZE = 50
IDLE_HEADER = "X-QLive-Idle"
"""Header of the requests that the console sends by itself while its operator is idle."""
EXPORT_PAGE, EXPORT_PAGES = 100, 100
"""Rows per query of a CSV file, between which other requests are served, and the maximum number of
queries. All rows of a file are in memory, with at most 4 KB each."""
BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel reads UTF-8 as the code page of the system."""
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""Beginning of a cell that a spreadsheet program may execute, in full width, too."""
TOKEN_OPERATOR = Operator("ops.token", "machine")
log = structlog.get_logger("qlive.http")


class OperatorHandler(Handler):
    """Authenticates the operator, and writes an audit entry before a change is processed.

    After a change that succeeded, its outcome is written: what `target_state` returns that differs
    from before. Without an outcome the change was refused or interrupted. Reads are counted: the
    console alone sends several a second, and their entries would hide the changes; only those with
    `audits_reads` are audited as well. Requests with a wrong token are logged and not audited;
    changes that the role does not permit are, without their body.
    """

    created: Mapping[str, Any] | None = None
    """Object that a POST has created, for the audit log; it had no state before."""
    requested: Mapping[str, Any] | None = None
    """The request for a second operator, for the outcome of a change that waits for one."""
    audits_reads = False
    """Whether a GET is audited like a change, because personal data leave the system."""
    audits_parameters = True
    """Whether the audit entry has the parameters; False if they are secrets."""
    authorization_errors = (InvalidOperatorToken, RoleRequired, RateLimited)
    keep_blank_values = True
    common_fields = frozenset({"reason"})  # of any change, for the audit log

    operator: Operator
    """Operator who sends the request; set before it is processed."""

    async def authorize(self) -> None:
        self.operator = await self._authenticated()
        self._entry: Any = None
        is_read = self.request.method == "GET"
        access = self.route.access(self.request.method or "") if self.route else None
        is_permitted = access is not None and self.operator.may(access)
        if is_read:
            self.context.metrics.operator_reads.labels(self.label).inc()
        if self.audits_reads or not is_read:
            await self._begin_audit(is_permitted=is_permitted)
        if not is_permitted:
            raise RoleRequired

    async def done(self) -> None:
        if self._entry is None:
            return
        before = {} if self.requested else self._before
        after = self.requested or self.created or await self.target_state()
        await self.context.stores.audit.done(self._entry, before, after)

    def unless_waiting(self, outcome: Any, model: type[View]) -> View | ApprovalResponse:
        """Return the answer to a change: 202 with the request if it waits for another operator."""
        if not isinstance(outcome, Approval):
            return model.model_validate(outcome)
        self.set_status(202)
        self.requested = {"approval": outcome.id, "state": outcome.state}
        return ApprovalResponse.model_validate(outcome)

    @property
    def token(self) -> str:
        """The token of `Authorization: Bearer <token>`, or ""."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    async def _authenticated(self) -> Operator:
        """Operator of the token; only a wrong token counts for the address."""
        token, machine = self.token, self.context.settings.ops.token
        if token and machine and hmac.compare_digest(token.encode(), machine.encode()):
            return TOKEN_OPERATOR
        if token:
            in_use = IDLE_HEADER not in self.request.headers
            operators = self.context.services.operators.operators
            if operator := await operators.operator_of(token, in_use=in_use):
                return operator
        self.limit_address("anonymous")
        if not SESSION_TOKEN.fullmatch(token):  # probably that of a session that has ended
            self.context.metrics.refused.operator_tokens.inc()
        log.warning("operator_token_refused", address=limit_key(self.remote_ip))
        raise InvalidOperatorToken

    async def _begin_audit(self, *, is_permitted: bool) -> None:
        """Without the body, and without a look at the target, if the role does not permit it."""
        parameters = self.parameters() if is_permitted and self.audits_parameters else {}
        reason = str(parameters.pop("reason", "") or parameters.pop("ban_reason", ""))
        details = await self.target_details() if is_permitted else {}
        self._entry = await self.context.stores.audit.begin(
            who=self.operator.name,
            what=f"{self.request.method} {self.label}",
            on="/".join(str(part) for part in self.path_args),
            reason=reason,
            parameters={**parameters, **details},
            role=self.operator.role,
            address=self.remote_ip[:64],
        )
        self._before = await self.target_state() if is_permitted else {}

    async def target_details(self) -> Mapping[str, Any]:
        """Fields stored with the parameters; they find the entry after its target is deleted."""
        return {}

    async def target_state(self) -> Mapping[str, Any]:
        """State that the change may alter, as JSON and without secrets; {} if nothing exists."""
        return {}


class CsvFileResponse(TextResponse):
    """A CSV file."""

    media_type = "text/csv; charset=utf-8"


def cell(value: Any) -> str:
    """Return text that no program takes for a formula."""
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case str():
            return f"'{value}" if FORMULA.match(value) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


async def csv_file(
    fields: Sequence[str],
    after: str,
    find: Callable[[str, int], Awaitable[tuple[list[dict[str, Any]], str | None]]],
) -> CsvFileResponse:
    """Return these fields of the rows after a cursor, page by page.

    After the maximum number of rows the last line says `more` and the `after` of the next file.
    """
    cursor: str | None = after
    text = BYTE_ORDER_MARK + csv_lines([fields])
    for _ in range(EXPORT_PAGES):
        rows, cursor = await find(cursor or "", EXPORT_PAGE)
        text += csv_lines([cell(row[name]) for name in fields] for row in rows)
        if cursor is None:
            return CsvFileResponse(text=text)
    return CsvFileResponse(text=text + csv_lines([("more", f"after={cursor}")]))


def csv_lines(rows: Iterable[Iterable[str]]) -> str:
    """Quote all cells: some programs separate columns by `;` as well."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()
