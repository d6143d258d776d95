"""Collects violated guarantees: a count and some examples of each kind."""

from collections import Counter

MAX_EXAMPLES = 5


class Violations:
    """Violated guarantees by kind; true if there is any."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)

    def __bool__(self) -> bool:
        return bool(self.counts)
