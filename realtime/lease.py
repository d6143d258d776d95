"""Process leases: keeps this process's lease and sweeps dead processes.

Also compares open sockets with the stored connections and memberships, in both directions.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from core.clock import now_ms
from realtime.channel import Channel
from realtime.close_codes import CloseCode
from realtime.hub import Hub
from realtime.outbox import Outbox
from realtime.presence import StoredPresence
from rooms.presence import MemberSocket, SessionState

log = structlog.get_logger("qlive.lease")

SESSION_QUERY_SIZE = 500
"""Memberships compared per query."""
FindSessions = Callable[[list[str]], Awaitable[dict[str, SessionState]]]
"""Stored session states by user_id; users without one are absent."""
ReasonToClose = Callable[[int, str], Awaitable[CloseCode | None]]
"""(live_id, user_id) to the close code of a user who may not listen; None if they may."""


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


async def reconcile_memberships(
    hub: Hub, find_sessions: FindSessions, reason_to_close: ReasonToClose, process: str = ""
) -> list[tuple[Channel, Outbox]]:
    """Close joined sockets that disagree with the stored memberships.

    This catches evictions whose bus message was lost. Returns the valid sockets that are stored
    as served by another process than `process`.
    """
    members = hub.members
    served_elsewhere: list[tuple[Channel, Outbox]] = []
    for start in range(0, len(members), SESSION_QUERY_SIZE):
        batch = members[start : start + SESSION_QUERY_SIZE]
        sessions = await find_sessions([outbox.user_id for _, outbox in batch])
        for channel, outbox in batch:
            session = sessions.get(outbox.user_id)
            if session and (session.live_id, session.epoch) == (channel.live_id, channel.epoch):
                if session.number != outbox.number:
                    channel.close(outbox, _mismatch_code(session, outbox))
                elif session.process != process:
                    served_elsewhere.append((channel, outbox))
            elif not outbox.closed:
                await _close_unauthorized(hub, channel, outbox, reason_to_close)
            hub.drop_if_idle(channel)
    return served_elsewhere


async def _close_unauthorized(
    hub: Hub, channel: Channel, outbox: Outbox, reason_to_close: ReasonToClose
) -> None:
    """Close the socket of a user without a membership here, unless access is valid again."""
    code = await reason_to_close(channel.live_id, outbox.user_id)
    if code == CloseCode.ENDED:
        await hub.backfill(channel)  # delivers `live_end` before the close
    elif code:
        channel.close(outbox, code)


def _mismatch_code(session: SessionState, outbox: Outbox) -> CloseCode:
    """Close code of a socket whose number differs from the stored session's."""
    is_older = session.number > outbox.number
    # RESTART allows a reconnect: the newer socket is gone, or the user left and re-entered.
    return CloseCode.REPLACED if is_older and session.process else CloseCode.RESTART
