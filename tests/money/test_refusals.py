import pytest

from money.refusals import InsufficientGold, Refusal, RequestIdReused


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(InsufficientGold, "insufficient_gold"), (RequestIdReused, "request_id_reused")],
)
def test_every_no_about_gold_has_a_word_and_a_sentence(refusal: type[Refusal], code: str) -> None:
    no = refusal()
    assert (no.status, no.code) == (409, code)
    assert str(no) == no.detail
    assert no.detail.endswith(".")
