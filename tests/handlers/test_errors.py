from core.errors import InvalidParameter, QLiveError
from handlers.errors import status_of
from services.errors import ContentRefused
from tencent.errors import ServiceUnavailable

MODULES = [
    f"{layer}.errors"
    for layer in ["core", "rooms", "ledger", "storage", "tencent", "services", "handlers"]
]

CODES = {
    400: "bad_request bad_parameter unknown_app encrypted_data",
    401: "token log_in_again wechat_code ops_token ops_login",
    403: """
        not_allowed banned put_out not_host not_matchmaker wechat_blocked callback_refused
        ops_role second_person ops_locked""",
    404: """
        no_such_thing no_such_room no_such_user no_such_gift no_such_block no_such_page
        no_such_entry no_such_operator no_such_approval no_such_order no_such_refund
        no_such_withdrawal""",
    405: "wrong_method",
    409: """
        not_now requester_not_allowed not_live no_gender on_mic gender_in_use seat_taken
        queue_full not_admitted host_is_live host_must_end insufficient_gold
        request_id_reused too_many_orders not_reversible not_owed rate_required
        first_login operator_exists decided not_refundable order_in_refund refund_changed
        not_settleable withdraw_off too_little income_not_matured over_limit
        real_name_needed withdrawals_stopped not_cancellable""",
    413: "too_large",
    429: "too_many",
    500: "internal",
    503: "away try_again storage_away rate_missing wechat_away im_away im_refused",
}
"""Error codes on which clients rely, by their HTTP status; a new code needs no entry."""
CONTRACT = {code: status for status, codes in CODES.items() for code in codes.split()}


def with_subclasses(kind: type[QLiveError]) -> list[type[QLiveError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in with_subclasses(child))]


ERRORS = [kind for kind in with_subclasses(QLiveError) if kind.__module__ in MODULES]


def new_error(kind: type[QLiveError]) -> QLiveError:
    arguments = {
        ContentRefused: ["nickname"],
        InvalidParameter: [{"num": "from 1"}],
        ServiceUnavailable: ["wechat"],
    }
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
