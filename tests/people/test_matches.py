"""Pairs: when two users are matched."""

from collections.abc import Callable, Sequence
from itertools import permutations

import pytest

from people.matches import Pair

Rule = Callable[[Pair], Pair]
NEW = Pair.of("bert", "anna")


def by_anna(pair: Pair) -> Pair:
    return pair.like("anna", 1)


def by_bert(pair: Pair) -> Pair:
    return pair.like("bert", 2)


def date(pair: Pair) -> Pair:
    return pair.meet(7, "e1", 3)


ALL: dict[Rule, int] = {by_anna: 1, by_bert: 2, date: 3}
"""The rules of a match, with their times."""


def after(*rules: Rule) -> Pair:
    pair = NEW
    for rule in rules:
        pair = rule(pair)
    return pair


def test_a_pair_is_the_same_from_both_sides() -> None:
    assert Pair.of("anna", "bert") == NEW
    assert [NEW.other(user) for user in ("anna", "bert")] == ["bert", "anna"]


@pytest.mark.parametrize("rules", [*permutations(ALL)])
def test_two_likes_and_a_date_match_in_any_order_once(rules: Sequence[Rule]) -> None:
    assert not after(*rules[:2]).is_matched
    matched = after(*rules)
    assert (matched.matched_at, matched.is_matched) == (ALL[rules[-1]], True)
    assert (matched.live_id, matched.epoch) == (7, "e1")
    again = matched.unlike("anna").like("anna", 9).meet(8, "e2", 9)
    assert (again.matched_at, again.live_id) == (matched.matched_at, 7)


def test_a_like_that_was_removed_matches_nobody_until_it_is_repeated() -> None:
    pair = after(by_anna).unlike("anna").unlike("anna")
    assert not date(by_bert(pair)).is_matched
    assert date(by_bert(pair)).like("anna", 9).matched_at == 9


def test_the_last_date_before_the_match_counts() -> None:
    pair = date(NEW).meet(8, "e2", 4)
    assert (pair.live_id, pair.epoch, pair.matched_at) == (8, "e2", 0)


def test_a_repeated_like_keeps_its_time() -> None:
    assert after(by_anna).like("anna", 9) == after(by_anna)


def test_a_pair_that_was_ended_is_matched_by_no_like_or_date() -> None:
    assert not after(Pair.end, *ALL).is_matched
    assert not after(*ALL, Pair.end, *ALL).is_matched
    assert after(Pair.end, date).live_id == 0
