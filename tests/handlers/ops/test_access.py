"""Authentication of the operators' API."""

import re
from typing import Any

import pytest

from handlers.routes import OPS_ROUTES
from tests.support.api import ApiFixture


@pytest.mark.gen_test(timeout=20)
async def test_every_operator_endpoint_requires_the_operator_token(
    api: ApiFixture, db: Any
) -> None:
    anna = await api.user("anna", 2)
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {anna.token}",
        f"QLiveToken {anna.token}",
        f"QLiveToken {api._ops_token}",
        f"Bearer {api._ops_token}x",
        "Bearer ключ",
    ):
        headers = {} if header is None else {"Authorization": header}
        for pattern, handler, _ in OPS_ROUTES:
            path = "/ops/api/" + re.sub(r"\(.*?\)", "12345678", pattern)
            method = "GET" if "get" in vars(handler) else "POST"
            method = "PATCH" if method == "POST" and "patch" in vars(handler) else method
            reply = await api.request(method, path, headers=headers)
            assert reply.refusal == (401, "ops_token"), (header, path)
            assert "WWW-Authenticate" in reply.headers
    assert db.audit.count_documents({}) == 0


@pytest.mark.gen_test(timeout=20)
async def test_operator_token_is_not_accepted_by_the_user_api(api: ApiFixture) -> None:
    headers = {"Authorization": f"QLiveToken {api._ops_token}"}
    reply = await api.request("GET", "/wx/api/qlive/get_configs/", headers=headers)
    assert reply.refusal == (401, "token")
