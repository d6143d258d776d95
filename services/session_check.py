"""Looks again at the tokens of open sockets."""

from math import ceil

from realtime.close_codes import CloseCode
from realtime.hub import Hub
from storage.tokens import TokenStore
from storage.users import UserStore

INTERVAL = 5.0
"""Seconds between two runs."""
ROUND_SECONDS = 270
"""Time in which every socket is checked, without the time of the queries. A socket may be the first
of one round and the last of the next: twice this has to be less than ten minutes."""
QUERY_SIZE = 500
"""Tokens per query."""


class OpenSessionCheck:
    """Closes the sockets of this process whose token has expired or is gone.

    A revocation closes sockets at once. This finds those that it has missed, and tokens that end
    without one. Each run checks an equal share of them.
    """

    def __init__(self, hub: Hub, tokens: TokenStore, users: UserStore) -> None:
        self._hub = hub
        self._tokens = tokens
        self._users = users
        self._unchecked: list[str] = []
        self._share = 0

    async def run(self) -> None:
        """Check the next share; after a failure the same one again."""
        if not self._unchecked:
            self._unchecked = list({outbox.token_id for outbox in self._hub.with_token})
            self._share = ceil(len(self._unchecked) * INTERVAL / ROUND_SECONDS)
        share = self._unchecked[: self._share]
        for start in range(0, len(share), QUERY_SIZE):
            await self._check(share[start : start + QUERY_SIZE])
        del self._unchecked[: self._share]

    async def _check(self, token_ids: list[str]) -> None:
        invalid = await self._tokens.invalid(token_ids)
        owners = await self._users.find_many([owner for owner in invalid.values() if owner])
        banned = {user.user_id for user in owners if user.banned}
        self._hub.end_sessions(
            {
                token_id: CloseCode.PUT_OUT if owner in banned else CloseCode.TOKEN
                for token_id, owner in invalid.items()
            }
        )
