"""Number of examples of property tests, by QLIVE_EXAMPLES: dev, ci (the default) or long.

`ci` tries the same examples in every run of the suite. `dev` tries a tenth of them; `long` tries
200 times as many, different ones each time.
"""

import os
from typing import Any

from hypothesis import settings

FACTORS = {"dev": 0.1, "ci": 1, "long": 200}
PROFILE = os.environ.get("QLIVE_EXAMPLES", "ci")
LONG_PROFILE = PROFILE == "long"
FEW_EXAMPLES = PROFILE == "dev"
"""Too few to reach every outcome."""


def examples(count: int) -> int:
    """`count` scaled by the profile, at least 1; KeyError for an unknown profile."""
    return max(1, round(count * FACTORS[PROFILE]))


def repetitions(count: int) -> int:
    """Repetitions of a test with real servers: `count`, or seven times that in `long`."""
    return 7 * count if LONG_PROFILE else count


def example_settings(count: int, **more: Any) -> settings:
    """Settings of a property test with `count` examples, no deadline and no example database."""
    return settings(
        max_examples=examples(count),
        derandomize=not LONG_PROFILE,
        deadline=None,
        database=None,
        **more,
    )
