"""Deletion of users, of whom only the number stays, with the sums and times of money.

users: `delete_at` is when a deletion is due, and the field by which the job claims it; `former` is
the openid of a user whose deletion has begun.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ledger.refund_cases import OPEN_STATES as OPEN_CASES
from ledger.withdrawals import OPEN_STATES as OPEN_WITHDRAWALS
from rooms.events import NewEvent
from storage.accounts.matches import MatchStore
from storage.accounts.users import IS_DEBTOR, User, identity_of, user_from
from storage.database import Database, Document, Session
from storage.documents import document_of, make_partial_index, starts_with
from storage.identities import IdentityStore
from storage.jobs.due import BEFORE_ANY, claim_due
from storage.jobs.outbox import LATER, OutboxStore
from storage.webhooks.payloads import UserDeletedPayload
from storage.webhooks.webhooks import WebhookStore

PROFILE: Document = {"nickname": "", "face_url": "", "gender": 0, "area": "", "age": 0}
FACES = ("user_id", "from.user_id", "to.user_id", "by.user_id")
"""Fields of an event's data that name a user."""
KEPT = ("gold", "income", "owed", "owed_income", "create_time", "delete_at", "deleted_at", "former")
WEBHOOK_USER_FIELDS = ("user_id", "host_id", "sender_id", "receiver_id")
"""Fields of the data of a webhook that name a user."""
NO_DATA: Document = {"$set": {"data": {}}}
Step = Callable[[], Awaitable[object]]


class DeletionStore:
    """Deletes users in steps, each of which may be repeated."""

    def __init__(
        self, database: Database, outbox: OutboxStore, matches: MatchStore, webhooks: WebhookStore
    ) -> None:
        self._database = database
        self._identities = IdentityStore(database)
        self._matches = matches
        self._webhooks = webhooks
        self._in = database.collection
        self._outbox = outbox

    async def make_indexes(self) -> None:
        await make_partial_index(self._in("users"), "delete_at", BEFORE_ANY)

    async def claim(self, lease: timedelta) -> User | None:
        """Return a user whose deletion is due, or was interrupted."""
        row = await claim_due(self._in("users"), lease, field="delete_at")
        return user_from(row) if row else None

    async def must_wait(self, user: User) -> bool:
        """Return whether the deletion must wait for the user's money, a decision or a debt.

        It waits while money is on its way, or if a new account would evade the decision or debt.
        Money counts also after `close`: a request in progress may have moved it.
        """
        mine: Document = {"user_id": user.user_id}
        is_open = (
            ("withdrawals", {**mine, "state": {"$in": [*OPEN_WITHDRAWALS]}}),
            ("refund_cases", {**mine, "state": {"$in": [*OPEN_CASES]}}),
            ("orders", {**mine, "due_at": {"$gt": BEFORE_ANY}}),
            ("users", {"_id": user.user_id, "deleted_at": None, **_would_evade()}),
        )
        found = [await self._in(name).find_one(where, {"_id": 1}) for name, where in is_open]
        return any(found)

    async def postpone(self, user: User, delay: timedelta) -> None:
        later = {"$set": {"delete_at": datetime.now(UTC) + delay}}
        await self._in("users").update_one(_claimed(user), later)

    async def close(self, user: User, delay: timedelta) -> bool:
        """Free the openid; the steps are due after the delay.

        Returns False if the deletion was taken back meanwhile, or would evade a decision or debt.
        """
        now = datetime.now(UTC)
        fields: Document = {"deleted_at": now, "delete_at": now + delay, "former": user.openid}
        fields |= {"app_id": "", "openid": f"deleted:{user.user_id}"}
        where = {**_claimed(user), "$nor": [_would_evade()]}

        async def work(session: Session) -> bool:
            result = await self._in("users").update_one(where, {"$set": fields}, session=session)
            if result.modified_count:
                name = identity_of(user.app_id, user.openid)
                await self._identities.drop("openid", name, session)
            return bool(result.modified_count)

        return await self._database.transaction_with_retry(work)

    def steps(self, user: User) -> Sequence[Step]:
        """Return the steps in order: the profile goes before its pictures, the openid last.

        The matches have ended before.
        """
        user_id = user.user_id
        return [
            partial(self._clear_partners, user_id),
            *(partial(self._handle, *rule) for rule in _rules(user_id)),
            partial(self._clear_host, user_id),
            partial(self._clear_inbox, user_id),
            partial(self._empty_profile, user),
            partial(self._delete_pictures, user_id),
            partial(self._finish, user_id),
        ]

    async def _handle(self, name: str, where: Document, update: Any = None) -> None:
        with self._database.slow_operation_timeout():
            if update:
                await self._in(name).update_many(where, update)
            else:
                await self._in(name).delete_many(where)

    async def _clear_partners(self, user_id: str) -> None:
        """Clear the user in the channels of those with whom they were matched."""
        partners = await self._matches.partners(user_id)
        await self._clear_channels("data.user.user_id", user_id, _id={"$in": partners})

    async def _clear_host(self, user_id: str) -> None:
        """Clear the user as a host, in reports about others and in invitations of others."""
        if room := await self._in("rooms").find_one({"host_id": user_id}, {"_id": 1}):
            reported = {"kind": "report", "live_id": room["_id"]}
            named = {"evidence.room_name": "", "evidence.room_image": ""}
            await self._handle("moderation_items", reported, {"$set": named})
            await self._clear_channels("data.host.user_id", user_id)
            await self._handle("webhook_events", {"data.live_id": room["_id"]}, NO_DATA)

    async def _clear_channels(self, field: str, user_id: str, **where: Any) -> None:
        """Empty the events of channels in which this field names the user."""
        names_user = {"$eq": [f"$$this.{field}", user_id]}
        empty = {"$mergeObjects": ["$$this", {"data": None}]}
        log = {"$map": {"input": "$log", "in": {"$cond": [names_user, empty, "$$this"]}}}
        where = {**where, f"log.{field}": user_id}
        await self._handle("user_channels", where, [{"$set": {"log": log}}])

    async def _clear_inbox(self, user_id: str) -> None:
        """Clear the openid in pushes of WeChat; the notices of WeChat Pay are encrypted."""
        row = await self._in("users").find_one({"_id": user_id})
        if openid := (row or {}).get("former"):
            where = {"source": "xpay", "raw": {"$regex": re.escape(openid)}}
            raw = {"$replaceAll": {"input": "$raw", "find": openid, "replacement": ""}}
            await self._handle("inbox", where, [{"$set": {"raw": raw}}])

    async def _empty_profile(self, user: User) -> None:
        blank = document_of(User(user.user_id, "", user.openid, user.create_time), "user_id")
        fields: Document = {name: {"$literal": value} for name, value in blank.items()}
        fields |= {name: f"${name}" for name in KEPT}
        await self._in("users").update_one({"_id": user.user_id}, [{"$replaceWith": fields}])

    async def _delete_pictures(self, user_id: str) -> None:
        """Make the messages due that delete pictures which are no longer shown.

        Those of uploads stay due a day after the ticket: it may be used until ten minutes after it
        was given.
        """
        key = {"$regex": rf"^pictures/(face|cover)/{user_id}/"}
        now = {"due_at": datetime.now(UTC), "payload.replaced": True, "state": LATER}
        await self._handle("outbox", {"payload.key": key}, {"$set": now})

    async def _finish(self, user_id: str) -> None:
        async def work(session: Session) -> None:
            await self._outbox.add("account_delete", {"user_id": user_id}, session)
            ended = {"$unset": {"former": "", "delete_at": ""}}
            result = await self._in("users").update_one({"_id": user_id}, ended, session=session)
            if result.modified_count:
                deleted = NewEvent("user.deleted", UserDeletedPayload(user_id=user_id))
                await self._webhooks.add(session, deleted)

        await self._database.transaction_with_retry(work)


def _claimed(user: User) -> Document:
    """Return a filter for the user unless the deletion was taken back since it was claimed."""
    return {"_id": user.user_id, "delete_at": user.delete_at}


def _would_evade() -> Document:
    """Return a filter for users who would evade a ban, a refused age or a debt."""
    no_stream = {"stream_forbidden_until": {"$gt": datetime.now(UTC)}}
    return {"$or": [{"banned": True}, {"age_refused": True}, no_stream, IS_DEBTOR]}


def _rules(user_id: str) -> list[tuple[Any, ...]]:
    """Return collections with a filter and an update; documents without an update are deleted."""
    mine, by, of = {"user_id": user_id}, {"by": user_id}, {"of": user_id}
    reasons = {"reason": "", "decision_reason": ""}
    host = {f"owner.person.{name}": value for name, value in PROFILE.items()}
    room = {"title": "", "cover": "", "deputies": [], **host}
    sent = dict.fromkeys(("openid", "body", "package_info", "reason"), "")
    about = {**mine, "kind": "report"}
    accused = {"$mergeObjects": [{"reporter": "$evidence.reporter"}]}
    return [
        _audit_rule(user_id),
        ("approvals", {"on": user_id}, {"$set": reasons}),
        ("refund_cases", mine, {"$set": reasons}),
        ("bill_differences", mine, {"$set": {"note": ""}}),
        ("orders", mine, {"$set": {"openid": ""}, "$unset": {"prepay_id": ""}}),
        ("withdrawals", mine, {"$set": sent}),
        ("rooms", {"host_id": user_id}, {"$set": room, "$inc": {"revision": 1}}),
        _log_rule(user_id),
        *_date_rules(user_id),
        ("moderation_items", {**mine, "kind": {"$ne": "report"}}),
        ("moderation_items", about, [{"$set": {"evidence": accused, "decision": ""}}]),
        _evidence_rule(user_id),
        (
            "webhook_events",
            {"$or": [{f"data.{name}": user_id} for name in WEBHOOK_USER_FIELDS]},
            NO_DATA,
        ),
        *((name, mine) for name in ("chat_lines", "tokens", "exports")),
        ("follows", {"_id": starts_with(f"{user_id}:")}),
        ("notice_consents", {"_id": starts_with(f"{user_id}:")}),
        ("matches", {"users": user_id}),
        *(("user_blocks", where) for where in (by, of)),
        *((name, {"_id": user_id}) for name in ("members", "user_channels", "follower_counts")),
    ]


def _audit_rule(user_id: str) -> tuple[Any, ...]:
    """Return the rule that empties entries about the user, still found by operator and action."""
    on_user = {"$or": [{"on": user_id}, {"parameters": {"$regex": f'"{user_id}"'}}]}
    left = ("$what", " ", "$on", " ", "$who", " ", "$address", " ", "$role", " ", user_id)
    is_left = {"$gte": [{"$indexOfCP": [{"$toLower": {"$concat": [*left]}}, "$$this"]}, 0]}
    terms = {"$filter": {"input": "$terms", "cond": is_left}}
    fields = {**dict.fromkeys(("parameters", "before", "after"), "{}"), "reason": ""}
    return "audit", {"terms": user_id, **on_user}, [{"$set": {**fields, "terms": terms}}]


def _log_rule(user_id: str) -> tuple[Any, ...]:
    """Return the rule that empties events about the user, and all of the user's own room.

    No event is removed: gifts are compared with the journal.
    """
    log = {"input": {"$objectToArray": "$log"}}
    names = [{"$eq": [f"$$this.v.data.{path}", user_id]} for path in FACES]
    is_about = {"$or": [*names, {"$eq": ["$host_id", user_id]}]}
    empty = {"k": "$$this.k", "v": {"$mergeObjects": ["$$this.v", {"data": None}]}}
    events = {"$map": {**log, "in": {"$cond": [is_about, empty, "$$this"]}}}
    where = {"$expr": {"$anyElementTrue": {"$map": {**log, "in": is_about}}}}
    return "rooms", where, [{"$set": {"log": {"$arrayToObject": events}}}]


def _date_rules(user_id: str) -> list[tuple[Any, ...]]:
    """Return the rules that take the user out of the dates of lives, and of their rooms."""
    guests = ("male", "female")
    left = {
        name: {"$cond": [{"$eq": [f"$$this.{name}", user_id]}, "", f"$$this.{name}"]}
        for name in guests
    }
    dates = {"$map": {"input": "$dates", "in": {"$mergeObjects": ["$$this", left]}}}
    where = {"$or": [{f"dates.{name}": user_id} for name in guests]}
    return [(name, where, [{"$set": {"dates": dates}}]) for name in ("lives", "rooms")]


def _evidence_rule(user_id: str) -> tuple[Any, ...]:
    """Return the rule that takes the words and events of the user out of reports about others."""
    named = [{f"evidence.{path}": user_id} for path in ("reporter", "lines.user_id")]
    named += [{f"evidence.events.data.{path}": user_id} for path in FACES]
    not_about = [{"$ne": [f"$$this.data.{path}", user_id]} for path in FACES]
    heard = {
        "text": {"$cond": [{"$eq": ["$evidence.reporter", user_id]}, "", "$evidence.text"]},
        "lines": _filtered("$evidence.lines", {"$ne": ["$$this.user_id", user_id]}),
        "events": _filtered("$evidence.events", {"$and": not_about}),
    }
    where = {"kind": "report", "$or": named}
    return "moderation_items", where, [{"$set": {"evidence": heard}}]


def _filtered(array: str, condition: Document) -> Document:
    return {"$filter": {"input": {"$ifNull": [array, []]}, "cond": condition}}
