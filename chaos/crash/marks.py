"""Where the paths begin and end in a server, and what they ask of others on their way."""

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import assembly
import timetable
from chaos.crash.watch import ON_PATH, Watch
from handlers.callback import Callback
from handlers.gifts import PushGift
from handlers.parts import Parts
from handlers.payments import JsapiNotice
from rounds import Rounds
from storage.latency import Latency
from tencent.outside import Outside

DUE = datetime(2001, 1, 1, tzinfo=UTC)
"""For orders: any time ago."""
Work = Callable[[], Awaitable[object]]


def put(watch: Watch) -> None:
    """Into this process, before its server is built."""
    _put_on_commands(watch)
    for method in ("get", "post"):
        _put_on_calls(watch, method)
    target = watch.fate.target
    match watch.fate.path:
        case "gift" | "gift_outside":
            _put_on_handler(watch, PushGift, "get", lambda it: target in it.request.query)
        case "notification":
            _put_on_handler(watch, JsapiNotice, "post", lambda it: _is_in(target, it))
        case "sweep":
            _put_on_sweep(watch)


def _is_in(target: str, report: Callback) -> bool:
    return target.encode() in report.body


def _put_on_commands(watch: Watch) -> None:
    class Watched(Latency):
        def started(self, event: Any) -> None:
            watch.begin(event.request_id, _name_of(event))

        def succeeded(self, event: Any) -> None:
            watch.end(event.request_id)
            super().succeeded(event)

        def failed(self, event: Any) -> None:
            watch.end(event.request_id)
            super().failed(event)

    owner: Any = assembly
    owner.Latency = Watched


def _name_of(event: Any) -> str:
    """As `update rooms`; in a transaction `update rooms *`."""
    name, told = event.command_name, event.command
    words = [name, told[name], "*" if "autocommit" in told else ""]
    return " ".join(word for word in words if word and isinstance(word, str))


def _put_on_calls(watch: Watch, method: str) -> None:
    original = getattr(Outside, method)

    async def call(self: Outside, *words: Any, **more: Any) -> Any:
        key = object()
        watch.begin(key, f"{method} {self.name}")
        try:
            return await original(self, *words, **more)
        finally:
            watch.end(key)

    setattr(Outside, method, call)


def _put_on_handler(
    watch: Watch, handler: type[Any], method: str, is_it: Callable[[Any], bool]
) -> None:
    """The path goes from the first line of its method until its answer has left."""
    original, write_model = getattr(handler, method), handler.write_model

    @functools.wraps(original)
    async def marked(self: Any, *path: str) -> None:
        ON_PATH.set(is_it(self))
        await original(self, *path)

    def write(self: Any, answer: Any) -> None:
        watch.begin(self, "the answer")
        write_model(self, answer)
        watch.end(self)
        watch.over()

    setattr(handler, method, marked)
    handler.write_model = write


def _put_on_sweep(watch: Watch) -> None:
    """One round more: the first one sees to what earlier deaths have left."""
    keep = timetable.keep

    def keep_all(rounds: Rounds, parts: Parts) -> None:
        seen: Any = _Sweeps(rounds, parts, watch)
        keep(seen, parts)

    timetable.keep = keep_all


class _Sweeps:
    """Rounds, of which the one that asks about orders is another one."""

    def __init__(self, rounds: Rounds, parts: Parts, watch: Watch) -> None:
        self.until_stopped = rounds.until_stopped
        self._rounds, self._parts, self._watch = rounds, parts, watch

    def every(self, seconds: float, name: str, work: Work, **more: Any) -> None:
        if name == "orders":
            work = functools.partial(self._sweep, work)
        self._rounds.every(seconds, name, work, **more)

    async def _sweep(self, work: Work) -> None:
        await work()
        orders = self._parts.database.collection("orders")
        await orders.update_one({"_id": self._watch.fate.target}, {"$set": {"due_at": DUE}})
        ON_PATH.set(True)
        await work()
        self._watch.over()
