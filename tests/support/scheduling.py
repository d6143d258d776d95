"""The order in which pytest-xdist workers run tests."""

import pytest


def slow_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Puts the modules that start programs at the beginning of each worker's share.

    With `--dist worksteal`, xdist gives each worker a contiguous part of the list; an idle worker
    steals from the end of another's. Other tests keep their order, and modules stay together,
    because their session fixtures are started once per worker.
    """
    modules: dict[str, list[pytest.Item]] = {}
    quick: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("programs"):
            modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
        else:
            quick.append(item)
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for module in modules.values():
        min(first, key=len).extend(module)
    share, order = len(items) / workers, list[pytest.Item]()
    for number, slow in enumerate(first):
        taken = max(0, round(share * (number + 1)) - len(order) - len(slow))
        order += [*slow, *quick[:taken]]
        del quick[:taken]
    return order + quick
