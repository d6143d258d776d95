from types import SimpleNamespace
from typing import Any

from chaos.scenarios.rolling import _histogram


def test_who_comes_back_counts_from_the_latest_restart() -> None:
    scene: Any = SimpleNamespace(figures=SimpleNamespace(returns=[9.0, 10.5, 10.9, 12.0, 20.1]))
    assert _histogram(scene, [10.0, 20.0]) == {0: 3, 2: 1}
