import re

import pytest

from rooms import refusals
from rooms.refusals import BadParameter, Refusal, ServiceAway

TREE = refusals.__doc__ or ""


def every(kind: type[Refusal]) -> list[type[Refusal]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in every(child))]


KINDS = [kind for kind in every(Refusal) if kind.__module__ == refusals.__name__]


def made(kind: type[Refusal]) -> Refusal:
    arguments = {BadParameter: [{"num": "from 1"}], ServiceAway: ["wechat"]}
    return kind(*arguments.get(kind, []))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_no_has_a_status_a_word_and_a_sentence(kind: type[Refusal]) -> None:
    no = made(kind)
    assert 400 <= no.status < 600
    assert re.fullmatch("[a-z_]+", no.code)
    assert str(no) == no.detail != ""


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.__name__)
def test_every_no_stands_in_the_tree_as_it_is(kind: type[Refusal]) -> None:
    line = next(line for line in TREE.splitlines() if re.search(rf"\b{kind.__name__}\b", line))
    leaf = not kind.__subclasses__()
    assert (kind.code in line) if leaf and kind is not ServiceAway else True
    parent = kind.__mro__[1]
    assert kind.status == (parent.status if parent is not Refusal else kind.status)
    if parent is Refusal:
        assert str(kind.status) in line


def test_a_sentence_of_ones_own_takes_the_place_of_the_usual_one() -> None:
    assert refusals.NotNow("not today").detail == "not today"


def test_a_bad_parameter_says_what_is_wrong_with_each() -> None:
    no = BadParameter({"num": "from 1", "page": "a number"})
    assert no.fields == {"num": "from 1", "page": "a number"}
    assert no.detail == "num: from 1; page: a number"


def test_a_service_that_is_away_is_named() -> None:
    no = ServiceAway("wechat")
    assert (no.status, no.code) == (503, "wechat_away")
    assert "wechat" in no.detail
