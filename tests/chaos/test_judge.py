import json
from pathlib import Path

from chaos.judge import unforeseen


def line(exception: str) -> str:
    trace = f"Traceback (most recent call last):\n  File …\n{exception}"
    return json.dumps({"event": "failed", "level": "error", "exception": trace})


def test_only_errors_that_nobody_expected_are_reported(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        "\n".join(
            [
                "QLive serves on http://127.0.0.1:1",
                json.dumps({"event": "round_failed", "level": "warning", "error": "AutoReconnect"}),
                line("pymongo.errors.AutoReconnect: connection closed"),
                line("KeyError: 'seq'"),
                "Traceback (most recent call last):",
            ]
        )
    )
    assert list(unforeseen(log)) == [
        "failed: KeyError: 'seq'",
        "Traceback (most recent call last):",
    ]
