"""Instruments a server: marks where paths begin and end, and records their calls.

The paths that begin in a periodic job are marked in marked_sweeps.py.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable
from contextvars import Context as Contextvars
from typing import Any, NamedTuple

import structlog

from chaos.crash.call_recorder import ON_PATH, CallRecorder
from chaos.crash.marked_sweeps import INTERVALS, SWEEPS, mark_sweep, set_interval
from core import batching
from core.batching import RequestBatcher
from handlers.base import Handler
from handlers.gifts import PushGiftHandler
from handlers.ops.refunds import OpsRefundConfirmHandler
from handlers.ops.withdrawals import OpsApproveWithdrawalHandler, OpsDeclineWithdrawalHandler
from handlers.webhooks.wechat_pay import (
    JsapiWebhookHandler,
    TransferWebhookHandler,
    XpayWebhookHandler,
)
from handlers.withdrawals import CancelWithdrawalHandler, WithdrawHandler
from runtime import container
from storage.database import CommandLatency
from storage.group_commit import GroupCommit
from storage.rooms import RoomStore
from tencent.service_client import ServiceClient

BATCH_SIZE, BATCH_ROOMS = 30, 5
"""Changes of a batch, and the rooms that they change."""
RECORDED_RESPONSES = (1, BATCH_SIZE // 2, BATCH_SIZE)


class MarkedHandler(NamedTuple):
    """The path begins with `method` of `handler`, if `names` finds its target in the request."""

    handler: type[Any]
    method: str
    names: Callable[[Any, str], bool]


def _in_query(handler: Any, target: str) -> bool:
    return target in handler.request.query


def _in_address(handler: Any, target: str) -> bool:
    return target in handler.request.path


def _in_body(handler: Any, target: str) -> bool:
    return target.encode() in handler.body


def _in_request_id(handler: Any, target: str) -> bool:
    return bool(handler.parameters().get("request_id") == target)


def _in_withdrawal_id(handler: Any, target: str) -> bool:
    return bool(handler.parameters().get("withdrawal_id") == target)


HANDLERS = {
    "gift": MarkedHandler(PushGiftHandler, "get", _in_query),
    "gift_outside": MarkedHandler(PushGiftHandler, "get", _in_query),
    "notification": MarkedHandler(JsapiWebhookHandler, "post", _in_body),
    "withdrawal": MarkedHandler(WithdrawHandler, "post", _in_request_id),
    "transfer_notice": MarkedHandler(TransferWebhookHandler, "post", _in_body),
    "transfer_return": MarkedHandler(TransferWebhookHandler, "post", _in_body),
    "transfer_cancel": MarkedHandler(CancelWithdrawalHandler, "post", _in_withdrawal_id),
    "withdrawal_approve": MarkedHandler(OpsApproveWithdrawalHandler, "post", _in_address),
    "withdrawal_decline": MarkedHandler(OpsDeclineWithdrawalHandler, "post", _in_address),
    "xpay_delivery": MarkedHandler(XpayWebhookHandler, "post", _in_query),
    "refund_confirm": MarkedHandler(OpsRefundConfirmHandler, "post", _in_address),
    "refund_notice": MarkedHandler(JsapiWebhookHandler, "post", _in_body),
    "xpay_refund_push": MarkedHandler(XpayWebhookHandler, "post", _in_query),
}
"""By path."""


def install(recorder: CallRecorder) -> None:
    """Patch this process; call before its server is built."""
    _record_commands(recorder)
    _follow_into_batches()
    for method in ("get", "post"):
        _record_requests(recorder, method)
    path, target = recorder.plan.path, recorder.plan.target
    if path == "withdrawal":
        set_interval(INTERVALS["fast_sweeps"])
    if path in HANDLERS:
        _mark_handler(recorder, HANDLERS[path], target)
    elif path in SWEEPS:
        mark_sweep(recorder, SWEEPS[path])
    elif path == "batch":
        _mark_batch(recorder, lambda request_id: request_id == target)
    elif path in INTERVALS:
        set_interval(INTERVALS[path])


def _record_commands(recorder: CallRecorder) -> None:
    class RecordedCommands(CommandLatency):
        def started(self, event: Any) -> None:
            recorder.begin(event.request_id, _command_name(event))

        def succeeded(self, event: Any) -> None:
            recorder.end(event.request_id)
            super().succeeded(event)

        def failed(self, event: Any) -> None:
            recorder.end(event.request_id)
            super().failed(event)

    module: Any = container
    module.CommandLatency = RecordedCommands


def _command_name(event: Any) -> str:
    """For example `update rooms`; in a transaction `update rooms *`."""
    name, command = event.command_name, event.command
    words = [name, command[name], "*" if "autocommit" in command else ""]
    return " ".join(word for word in words if word and isinstance(word, str))


def _follow_into_batches() -> None:
    """RequestBatcher serves a batch in an empty context: keep ON_PATH of its first request."""

    def context() -> Contextvars:
        on_path, empty = ON_PATH.get(), Contextvars()
        empty.run(ON_PATH.set, on_path)
        return empty

    module: Any = batching
    module.Context = context


def _record_requests(recorder: CallRecorder, method: str) -> None:
    original = getattr(ServiceClient, method)

    async def recorded(self: ServiceClient, *args: Any, **kwargs: Any) -> Any:
        key = object()
        recorder.begin(key, f"{method} {self.name}")
        try:
            return await original(self, *args, **kwargs)
        finally:
            recorder.end(key)

    setattr(ServiceClient, method, recorded)


def _mark_handler(recorder: CallRecorder, mark: MarkedHandler, target: str) -> None:
    """The path begins with the handler's method and ends when its response is sent."""
    handler: Any = mark.handler
    original, write_model = getattr(handler, mark.method), handler.write_model

    @functools.wraps(original)
    async def marked(self: Any, *path: str) -> None:
        ON_PATH.set(mark.names(self, target))
        await original(self, *path)

    def write(self: Any, model: Any) -> None:
        recorder.begin(self, "response")
        write_model(self, model)
        recorder.end(self)
        recorder.finish()

    setattr(handler, mark.method, marked)
    handler.write_model = write


class _Gate:
    """Opens when `size` callers wait at it."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._opened.set()
        await self._opened.wait()
        await asyncio.sleep(0)  # the last caller leaves after the others


def _mark_batch(recorder: CallRecorder, belongs: Callable[[Any], bool]) -> None:
    """The path begins when all its changes are there, and ends with the last response.

    The commits of its rooms wait for each other: the first ones have a transaction each, and the
    others, gifts among them, share one.
    """
    changes, commits = _Gate(BATCH_SIZE), _Gate(BATCH_ROOMS)
    waiting: set[int] = set()
    batcher: Any = RequestBatcher
    rooms: Any = RoomStore
    group_commit: Any = GroupCommit
    submit, load, commit = batcher.submit, rooms.load, group_commit.commit

    async def submit_together(self: Any, name: int, request: Any) -> Any:
        if belongs(structlog.contextvars.get_contextvars().get("request_id")):
            waiting.add(name)
            await changes.wait()
        return await submit(self, name, request)

    async def load_marked(self: RoomStore, live_id: int, *args: Any) -> Any:
        if changes.is_open and live_id in waiting:
            waiting.remove(live_id)  # later loads are not the batch's
            ON_PATH.set(True)
        return await load(self, live_id, *args)

    async def commit_together(self: GroupCommit, batch: Any) -> None:
        if ON_PATH.get():
            await commits.wait()
        await commit(self, batch)

    batcher.submit, rooms.load, group_commit.commit = submit_together, load_marked, commit_together
    _mark_responses(recorder, belongs)


def _mark_responses(recorder: CallRecorder, belongs: Callable[[Any], bool]) -> None:
    original, count = Handler.finish, itertools.count(1)

    def finish(self: Handler, chunk: Any = None) -> Any:
        if not belongs(self.request_id):
            return original(self, chunk)
        ON_PATH.set(True)
        number = next(count)
        if number in RECORDED_RESPONSES:
            recorder.begin(self, f"response {number}")
        sent = original(self, chunk)
        recorder.end(self)
        if number == BATCH_SIZE:
            recorder.finish()
        return sent

    handler: Any = Handler
    handler.finish = finish
