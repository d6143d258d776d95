"""The runner of errands: the small persistent outbox towards Tencent.

An errand runs at least once: a crash, a lost lease or a database that goes away between doing it
and marking it done runs it again. So whatever an errand does must be idempotent at the receiver.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from rooms.refusals import Refusal
from tencent.im import IMRefused

log = structlog.get_logger("tencent.errands")

AT_ONCE = 4
TRIES = 20  # with the back-off below: about two hours
SHORTEST, LONGEST = 1.0, 600.0  # seconds between two tries
LIMIT = 60.0  # seconds that one errand may take
LEASE = timedelta(seconds=2 * LIMIT)  # outlives LIMIT, so that nobody runs it beside us


class Errand(Protocol):
    """`tries` counts the claims so far, this one included (a crash counts as a try, too)."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def payload(self) -> dict[str, Any]: ...
    @property
    def tries(self) -> int: ...


class Store(Protocol):
    """Where errands are kept; each call is atomic, and may raise when the database is away."""

    async def claim(self, now: datetime, until: datetime) -> Errand | None:
        """The earliest errand due at `now`, one try more, not due for others until `until`."""

    async def done(self, errand_id: str) -> None: ...

    async def again(self, errand_id: str, at: datetime, why: str) -> None: ...

    async def failed(self, errand_id: str, why: str) -> None: ...


Does = Mapping[str, Callable[[dict[str, Any]], Awaitable[None]]]


class Errands:
    """Runs what `store` holds with the function that `does` names for its kind."""

    def __init__(
        self,
        store: Store,
        does: Does,
        give_up: tuple[type[Exception], ...] = (IMRefused,),
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        idle: float = 1.0,
    ) -> None:
        """An errand that raises one of `give_up` is not tried again; `idle` in seconds."""
        self._store = store
        self._does = does
        self._give_up = give_up
        self._now = now
        self._idle = idle
        self._nudged = asyncio.Event()
        self._store_is_away = False

    def nudge(self) -> None:
        """Something was added: do not wait for the next look. Never waits itself."""
        self._nudged.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs errands until `stopping` is set, and then ends what is under way."""
        while not stopping.is_set():
            claimed = await self._claim()
            await asyncio.gather(*(self._run_one(errand) for errand in claimed))
            if len(claimed) < AT_ONCE:
                await self._rest(stopping)

    async def _claim(self) -> list[Errand]:
        claimed: list[Errand] = []
        try:
            while len(claimed) < AT_ONCE:
                now = self._now()
                errand = await self._store.claim(now, now + LEASE)
                self._note_store(None)
                if errand is None:
                    break
                claimed.append(errand)
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            self._note_store(error)
        return claimed

    async def _run_one(self, errand: Errand) -> None:
        why, final = await self._why_not(errand)
        try:
            if not why:
                await self._store.done(errand.id)
            elif final or errand.tries >= TRIES:
                log.error("errand_given_up", kind=errand.kind, id=errand.id, why=why)
                await self._store.failed(errand.id, why)
            else:
                at = self._now() + timedelta(seconds=back_off(errand.tries))
                await self._store.again(errand.id, at, why)
        except Exception as error:  # noqa: BLE001 - any driver's error; the runner never dies
            self._note_store(error)  # its lease runs out, and it is run again

    async def _why_not(self, errand: Errand) -> tuple[str, bool]:
        """What went wrong, "" for nothing, and whether it is useless to try again."""
        if errand.kind not in self._does:
            return f"nobody does {errand.kind}", True
        if errand.tries > TRIES:
            return "never came back", True  # it may be what ended the processes that ran it
        try:
            async with asyncio.timeout(LIMIT):
                await self._does[errand.kind](errand.payload)
        except self._give_up as error:
            return f"{type(error).__name__}: {error}", True
        except (Refusal, TimeoutError) as error:
            return f"{type(error).__name__}: {error}", False
        except Exception as error:
            # A bug. Its text is not ours to trust with secrets: the store gets the type only.
            log.exception("errand_broke", kind=errand.kind, id=errand.id)
            return type(error).__name__, False
        return "", False

    async def _rest(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._nudged, stopping)]
        # Nudges come with every request: they must not turn an outage into a busy loop.
        awaited = waits[1:] if self._store_is_away else waits
        await asyncio.wait(awaited, timeout=self._idle, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._nudged.clear()

    def _note_store(self, error: Exception | None) -> None:
        away = error is not None
        if away and not self._store_is_away:
            log.error("errands_cannot_reach_their_store", why=type(error).__name__)
        if not away and self._store_is_away:
            log.info("errands_reach_their_store_again")
        self._store_is_away = away


def back_off(tries: int) -> float:
    """Seconds until the next try: doubling from 1 s to 10 min, jittered by half."""
    doubled = min(LONGEST, SHORTEST * 2.0 ** min(tries - 1, TRIES))
    jitter = random.uniform(0.5, 1.5)
    return max(SHORTEST, min(LONGEST, doubled * jitter))
