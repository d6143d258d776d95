"""The audit log as a CSV file."""

import csv
import io
from typing import Any

import pytest

from handlers.operators import audit
from tests.support.api import ApiFixture
from tests.support.operators import GRANT, operator_request

gen_test = pytest.mark.gen_test(timeout=30)
FILE_HEAD = "\ufeff" + ",".join(audit.CSV_FIELDS) + "\r\n"


def cells(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeff")
    return [*csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]


async def exported(api: ApiFixture, **query: str) -> list[dict[str, str]]:
    reply = await operator_request(api, "GET", "audit.csv", params=query)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    return cells(reply.text)


@gen_test
async def test_file_has_the_entries_that_the_search_finds(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"users/{anna.id}"
    (await api.ops("POST", f"{path}/grant", **GRANT | {"reason": "生日\n快乐"})).ok()
    (await api.ops("PATCH", path, banned=True, ban_reason='=HYPERLINK("x")')).ok()
    ban, grant = await exported(api)
    assert (grant["reason"], grant["on"], grant["done"]) == ("生日\n快乐", anna.id, "true")
    assert (grant["before"], grant["after"]) == ('{"gold": 0}', '{"gold": 10}')
    assert ban["reason"] == '\'=HYPERLINK("x")'
    (entry,) = (await api.ops("GET", "audit?what=POST%20GrantGold")).ok()["items"]
    assert grant["id"] == entry["id"]
    for query in ({"q": "生日"}, {"what": "POST GrantGold"}, {"after": ban["id"]}):
        assert await exported(api, **query) == [grant], query
    assert await exported(api, q="nothing") == []


@gen_test
async def test_long_files_say_how_to_continue(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("EXPORT_PAGE", 2), ("EXPORT_PAGES", 2)):
        monkeypatch.setattr(audit, name, value)
    for _ in range(5):
        await api.ops("POST", "gifts")
    first = await exported(api)
    ids = [row["id"] for row in (await api.ops("GET", "audit")).ok()["items"]]
    assert [row["id"] for row in first] == [*ids[:4], "more"]
    after = first[-1]["at"].removeprefix("after=")
    assert [row["id"] for row in await exported(api, after=after)] == ids[4:]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＋1", "－1", "＠A1"],
)
def test_cells_that_begin_like_a_formula_are_text(text: str) -> None:
    entry: dict[str, Any] = dict.fromkeys(audit.CSV_FIELDS, "")
    (row,) = cells(FILE_HEAD + audit.entry_lines([{**entry, "reason": text}]))
    assert row["reason"] == "'" + text
    (row,) = cells(FILE_HEAD + audit.entry_lines([{**entry, "reason": f"a{text}"}]))
    assert row["reason"] == f"a{text}"


def test_every_cell_is_quoted_against_other_separators() -> None:
    entry: dict[str, Any] = dict.fromkeys(audit.CSV_FIELDS, "a;=1")
    assert audit.entry_lines([entry]) == ",".join(['"a;=1"'] * len(audit.CSV_FIELDS)) + "\r\n"
