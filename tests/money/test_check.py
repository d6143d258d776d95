from money.book import Purse
from money.check import KINDS, Kept, Problem, compare


def test_purses_that_are_the_sums_of_their_lines_are_right() -> None:
    sums = {("user:anna", "gold"): 5, ("user:anna", "income"): 7, ("house", "gold"): -9}
    sums |= {("owed:bert", "gold"): -4, ("user:gone", "gold"): 0}
    everybody = [Kept("anna", Purse(5, 7)), Kept("bert", Purse(0, 0), owed=4)]
    assert compare(sums, everybody) == []  # type: ignore[arg-type]


def test_whatever_differs_is_named() -> None:
    everybody = [
        Kept("anna", Purse(5, 1)),
        Kept("bert", Purse(-1, 0)),
        Kept("carl", Purse(0, 0), 2),
    ]
    found = compare({("user:anna", "gold"): 4, ("user:bert", "gold"): -1}, everybody)
    assert [str(problem) for problem in found] == [
        "balance: user:anna (gold: 5, and 4 in the book)",
        "balance: user:anna (income: 1, and 0 in the book)",
        "negative: user:bert",
        "balance: owed:carl (gold: -2, and 0 in the book)",
    ]


def test_lines_of_nobody_are_named() -> None:
    assert compare({("user:dora", "gold"): 4}, []) == [Problem("stranger", "user:dora", "gold: 4")]
    assert str(Problem("negative", "x")) == "negative: x"


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len(set(KINDS)) == len(KINDS)
