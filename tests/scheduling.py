"""The order in which workers take tests."""

import pytest


def scheduled(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Each worker's part begins with modules that start programs: what waits comes first.

    xdist gives each worker a run of the list (`--dist worksteal`), and who is done takes from the
    end of another's. The order is otherwise as it was; modules stay together, since what they
    share is started once for each worker.
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
