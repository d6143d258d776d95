"""Rows that fill the console's long lists."""

from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

COLLECTIONS = {"people": "users", "orders": "orders", "ledger": "ledger", "inbox": "inbox"}
"""The collections behind the pages with long lists."""


def insert_rows(db: Database[dict[str, Any]], page: str, count: int) -> set[str]:
    """Inserts rows for a page's list and returns their ids, each of which its row shows."""
    now = datetime.now(UTC)
    ids = [f"{20_000_000 + n}" for n in range(count)]
    balance = {"gold": 1, "income": 0, "owed": 0}
    rows: dict[str, dict[str, Any]] = {
        "people": {**balance, "app_id": "a", "nickname": "人", "create_time": now},
        "orders": {"user_id": "1" * 8, "provider": "xpay", "product": "p", "fen": 1, "gold": 1}
        | {"state": "paid", "sandbox": False, "queries": 0, "created_at": now},
        "ledger": {"kind": "grant", "at": now, "by": "ops", "lines": [], "content": {}}
        | {"answer": {}, "note": ""},
        "inbox": {"source": "im", "query": "", "raw": "", "genuine": True, "outcome": "done"}
        | {"reason": "", "times": 1, "received_at": now},
    }
    db[COLLECTIONS[page]].insert_many([{"_id": id_, "openid": id_, **rows[page]} for id_ in ids])
    return set(ids)
