from types import SimpleNamespace
from typing import Any

from chaos.scenarios.rolling import _reconnects_by_second


def test_reconnects_are_counted_since_the_latest_restart() -> None:
    metrics = SimpleNamespace(recovered_at=[9.0, 10.5, 10.9, 12.0, 20.1])
    run: Any = SimpleNamespace(metrics=metrics)
    assert _reconnects_by_second(run, [10.0, 20.0]) == {0: 3, 2: 1}
