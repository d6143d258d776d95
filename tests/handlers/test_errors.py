import importlib
import re

from core.errors import InvalidParameter, QLiveError, StateConflict
from handlers.errors import InvalidOperatorToken, headers_of, status_of
from tencent.errors import ServiceUnavailable

MODULES = [
    f"{layer}.errors"
    for layer in ["core", "rooms", "ledger", "storage", "tencent", "services", "handlers"]
]
TREES = {name: importlib.import_module(name).__doc__ or "" for name in MODULES}

CONTRACT = {
    "bad_request": 400,
    "bad_parameter": 400,
    "unknown_app": 400,
    "encrypted_data": 400,
    "token": 401,
    "log_in_again": 401,
    "wechat_code": 401,
    "ops_token": 401,
    "ops_login": 401,
    "not_allowed": 403,
    "banned": 403,
    "put_out": 403,
    "not_host": 403,
    "not_matchmaker": 403,
    "wechat_blocked": 403,
    "callback_refused": 403,
    "ops_role": 403,
    "second_person": 403,
    "ops_locked": 403,
    "no_such_thing": 404,
    "no_such_room": 404,
    "no_such_user": 404,
    "no_such_gift": 404,
    "no_such_block": 404,
    "no_such_page": 404,
    "no_such_entry": 404,
    "no_such_operator": 404,
    "no_such_approval": 404,
    "no_such_order": 404,
    "no_such_refund": 404,
    "no_such_withdrawal": 404,
    "wrong_method": 405,
    "not_now": 409,
    "requester_not_allowed": 409,
    "not_live": 409,
    "no_gender": 409,
    "on_mic": 409,
    "gender_in_use": 409,
    "seat_taken": 409,
    "queue_full": 409,
    "not_admitted": 409,
    "host_is_live": 409,
    "host_must_end": 409,
    "insufficient_gold": 409,
    "request_id_reused": 409,
    "too_many_orders": 409,
    "not_reversible": 409,
    "not_owed": 409,
    "rate_required": 409,
    "first_login": 409,
    "operator_exists": 409,
    "decided": 409,
    "not_refundable": 409,
    "order_in_refund": 409,
    "refund_changed": 409,
    "not_settleable": 409,
    "withdraw_off": 409,
    "too_little": 409,
    "income_not_matured": 409,
    "over_limit": 409,
    "real_name_needed": 409,
    "withdrawals_stopped": 409,
    "not_cancellable": 409,
    "too_large": 413,
    "too_many": 429,
    "away": 503,
    "try_again": 503,
    "storage_away": 503,
    "rate_missing": 503,
    "wechat_away": 503,
    "im_away": 503,
    "im_refused": 503,
    "internal": 500,
}
"""Error codes on which clients rely, with their HTTP statuses; a new code needs no entry."""


def with_subclasses(kind: type[QLiveError]) -> list[type[QLiveError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in with_subclasses(child))]


ERRORS = [kind for kind in with_subclasses(QLiveError) if kind.__module__ in MODULES]


def new_error(kind: type[QLiveError]) -> QLiveError:
    arguments = {InvalidParameter: [{"num": "from 1"}], ServiceUnavailable: ["wechat"]}
    return kind(*arguments.get(kind, []))


def test_codes_of_the_contract_keep_their_statuses() -> None:
    codes = {(new_error(kind).code, status_of(kind)) for kind in ERRORS}
    assert codes >= CONTRACT.items()


def test_every_code_has_one_status_except_not_in_room() -> None:
    statuses: dict[str, dict[str, int]] = {}
    for kind in ERRORS:
        statuses.setdefault(new_error(kind).code, {})[kind.__name__] = status_of(kind)
    assert statuses.pop("not_in_room") == {"NotAMember": 403, "NotInRoom": 409}
    assert {code: found for code, found in statuses.items() if len({*found.values()}) > 1} == {}


def test_every_error_has_a_sentence_as_its_detail() -> None:
    for error in map(new_error, ERRORS):
        assert str(error) == error.detail
        assert error.detail.endswith((".", ";", "again", "from 1")), error.detail


def test_every_error_is_in_the_docstring_tree_of_its_module() -> None:
    for kind in ERRORS:
        line = re.search(rf"^.*\b{kind.__name__}\b.*$", TREES[kind.__module__], re.MULTILINE)
        assert line, kind
        assert kind is ServiceUnavailable or kind.code in line[0], kind


def test_custom_detail_replaces_the_default() -> None:
    assert StateConflict("not today").detail == "not today"


def test_invalid_parameter_lists_the_reason_for_each_field() -> None:
    error = InvalidParameter({"num": "from 1", "page": "a number"})
    assert error.fields == {"num": "from 1", "page": "a number"}
    assert error.detail == "num: from 1; page: a number"


def test_operator_token_error_asks_for_bearer_authentication() -> None:
    assert dict(headers_of(InvalidOperatorToken())) == {"WWW-Authenticate": "Bearer"}
