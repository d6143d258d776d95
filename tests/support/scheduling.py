"""The order in which pytest-xdist workers run tests."""

import pytest

BROWSER = "tests/browser/"


def slow_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Puts the modules that start programs, or are slow, at the beginning of each worker's share.

    With `--dist worksteal`, xdist gives each worker a contiguous part of the list; an idle worker
    steals from the end of another's. Other tests keep their order. Modules stay together, because
    their session fixtures are started once per worker; so do all that use the browser.
    """
    groups: dict[str, list[pytest.Item]] = {}
    quick: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("programs") or item.get_closest_marker("slow"):
            module = item.nodeid.partition("::")[0]
            group = BROWSER if module.startswith(BROWSER) else module
            groups.setdefault(group, []).append(item)
        else:
            quick.append(item)
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for together in sorted(groups.values(), key=len, reverse=True):
        min(first, key=len).extend(together)
    share, order = len(items) / workers, list[pytest.Item]()
    for number, slow in enumerate(first):
        taken = max(0, round(share * (number + 1)) - len(order) - len(slow))
        order += [*slow, *quick[:taken]]
        del quick[:taken]
    return order + quick
