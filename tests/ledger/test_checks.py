from ledger.checks import KINDS, LedgerProblem, StoredBalance, find_balance_problems
from ledger.journal import Balance


def test_balances_equal_to_their_postings_are_correct() -> None:
    sums = {("user:anna", "gold"): 5, ("user:anna", "income"): 7, ("house", "gold"): -9}
    sums |= {("owed:bert", "gold"): -4, ("owed:bert", "income"): -3, ("user:gone", "gold"): 0}
    bert = StoredBalance("bert", Balance(0, 0), owed=4, owed_income=3)
    balances = [StoredBalance("anna", Balance(5, 7)), bert]
    assert find_balance_problems(sums, balances) == []  # type: ignore[arg-type]


def test_every_wrong_balance_is_reported() -> None:
    balances = [
        StoredBalance("anna", Balance(5, 1)),
        StoredBalance("bert", Balance(-1, 0)),
        StoredBalance("carl", Balance(0, 0), 2),
        StoredBalance("dora", Balance(0, 0), owed_income=-3),
    ]
    problems = find_balance_problems(
        {("user:anna", "gold"): 4, ("user:bert", "gold"): -1}, balances
    )
    assert [str(problem) for problem in problems] == [
        "balance: user:anna (gold: stored 5, journal 4)",
        "balance: user:anna (income: stored 1, journal 0)",
        "negative: user:bert",
        "balance: owed:carl (gold: stored -2, journal 0)",
        "balance: owed:dora (income: stored 3, journal 0)",
        "negative: user:dora",
    ]


def test_postings_without_a_user_are_reported() -> None:
    assert find_balance_problems({("user:dora", "gold"): 4}, []) == [
        LedgerProblem("stranger", "user:dora", "gold: 4")
    ]
    assert str(LedgerProblem("negative", "x")) == "negative: x"


def test_kinds_of_problems_are_unique() -> None:
    assert len(set(KINDS)) == len(KINDS)
