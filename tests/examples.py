"""How many examples a property test tries, by QLIVE_EXAMPLES: dev, ci (the default) or long.

`ci` is what every run of the suite can afford: the same examples each time. `dev` is a tenth of
it, and `long` a search: two hundred times as many, other ones each time.
"""

import os
from typing import Any

from hypothesis import settings

FACTORS = {"dev": 0.1, "ci": 1, "long": 200}
CHOSEN = os.environ.get("QLIVE_EXAMPLES", "ci")
SEARCHES = CHOSEN == "long"


def examples(count: int) -> int:
    """`count` as the chosen profile scales it, at least 1; an unknown profile is a KeyError."""
    return max(1, round(count * FACTORS[CHOSEN]))


def rounds(count: int) -> int:
    """How often a test with real servers repeats itself: `count`, in `long` seven times that."""
    return 7 * count if SEARCHES else count


def example_settings(count: int, **more: Any) -> settings:
    """Settings of one property test: `count` examples, without a deadline or a stored database."""
    return settings(
        max_examples=examples(count),
        derandomize=not SEARCHES,
        deadline=None,
        database=None,
        **more,
    )
