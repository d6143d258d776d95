"""Requests to the operators' API beyond `ApiFixture.ops`."""

from typing import Any

from tests.support.api import ApiFixture, Reply

GRANT = {"gold": 10, "reason": "birthday", "request_id": "one"}
"""Body of a gold grant."""


async def operator_request(api: ApiFixture, method: str, path: str, **kwargs: Any) -> Reply:
    """A request with the operator token; `kwargs` go to aiohttp: params, data, json."""
    headers = {"Authorization": f"Bearer {api._ops_token}"}
    return await api.request(method, f"/ops/api/{path}", headers=headers, **kwargs)
