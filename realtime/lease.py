"""Process leases: keeps this process's lease and sweeps dead processes.

Also reconciles the connections stored for this process with its open sockets.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from core.clock import now_ms
from realtime.presence import StoredPresence
from rooms.presence import MemberSocket

log = structlog.get_logger("qlive.lease")


class Lease:
    """This process's lease in MongoDB; `renew`, `sweep` and `compare` run periodically."""

    def __init__(
        self,
        storage: StoredPresence,
        process: str,
        seconds: float,
        open_sockets: Callable[[], list[MemberSocket]],
    ) -> None:
        """`process` is this process's id; `open_sockets` returns its open and joining sockets."""
        self._storage = storage
        self._process = process
        self._seconds = seconds
        self._open_sockets = open_sockets
        self._renewed_at: float | None = None
        self._held_since = time.monotonic()
        self._restamp_pending = False
        self._missing_before: set[MemberSocket] = set()

    @property
    def lease_held_ms(self) -> int:
        """Milliseconds the lease has been held without a gap; 0 if it may have lapsed.

        During a gap MongoDB may have been down: clients could not reconnect, and processes whose
        lease lapsed may be alive. Measured by this machine's monotonic clock.
        """
        now = time.monotonic()
        if self._renewed_at is None or now - self._renewed_at > self._seconds:
            return 0
        return int((now - self._held_since) * 1000)

    @property
    def held_for_full_term(self) -> bool:
        """Whether this process may judge others by their leases.

        After a MongoDB outage all leases have lapsed, and the first process to recover must not
        take the others for dead.
        """
        return self.lease_held_ms >= self._seconds * 1000

    async def renew(self) -> None:
        """Extend the lease; after a lapse, restamp the served members until that succeeds.

        Other processes may have marked these members away during the lapse.
        """
        requested_at = time.monotonic()  # conservative: the stored term starts later, at the write
        held = await self._storage.renew(self._process, self._seconds)
        previous, self._renewed_at = self._renewed_at, requested_at
        if previous is None or self._renewed_at - previous > self._seconds:
            self._held_since = self._renewed_at
        if previous is not None and not held:
            log.warning("lease_lapsed", process=self._process)
            self._restamp_pending = True
        if self._restamp_pending:
            await self._storage.claim_members(self._open_sockets(), self._process, now_ms())
            self._restamp_pending = False

    async def sweep(self) -> None:
        """Mark the members of dead processes away, once the lease was held for a full term."""
        if not self.held_for_full_term:
            return
        for process in await self._storage.expired_processes():
            if process != self._process:
                count = await self._storage.mark_members_away(process, now_ms())
                log.warning("dead_process_swept", process=process, members=count)

    async def compare(self) -> None:
        """Mark members away whose stored socket is missing twice in a row.

        Such entries remain when a connect or disconnect was interrupted before its result was
        stored.
        """
        open_ids = {(socket.user_id, socket.number) for socket in self._open_sockets()}
        served = await self._storage.served(self._process)
        missing = {socket for socket in served if (socket.user_id, socket.number) not in open_ids}
        await self._storage.mark_disconnected(
            [closed_now(socket) for socket in missing & self._missing_before]
        )
        self._missing_before = missing

    async def claim_members(self, sockets: Sequence[MemberSocket]) -> None:
        """Store these sockets as served by this process, overriding any other process."""
        await self._storage.claim_members(sockets, self._process, now_ms())

    async def end(self) -> None:
        """Release the lease at shutdown and mark the members still served here away."""
        await self._storage.mark_members_away(self._process, now_ms())
        await self._storage.forget(self._process)


def closed_now(socket: MemberSocket) -> MemberSocket:
    return MemberSocket(socket.user_id, socket.live_id, socket.epoch, socket.number, now_ms())
