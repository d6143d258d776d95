"""Makes the dashboard: python deploy/grafana.py > deploy/grafana.json.

Each line of PANELS is a panel: title, unit, and its queries by legend. A test evaluates each
query in a Prometheus that scrapes a real server.
"""

import json
import sys
from typing import Any

COLUMNS, WIDTH, HEIGHT = 3, 8, 7
BY = "by (instance)"


def p99(metric: str, by: str = "instance") -> str:
    return f"histogram_quantile(0.99, sum by ({by}, le) (rate({metric}_bucket[5m])))"


def rate(metric: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({metric}[5m]))"


Panel = tuple[str, str, dict[str, str]]
ROWS: dict[str, list[Panel]] = {
    "Faults": [
        ("Alerts", "short", {"{{alertname}} {{instance}}": 'ALERTS{alertname=~"QLive.*"}'}),
        (
            "Dependencies",
            "bool_on_off",
            {"{{dependency}} {{instance}}": "min by (dependency, instance) (qlive_dependency_up)"},
        ),
        (
            "Requests failed (500) and answered 503",
            "reqps",
            {
                "500 {{instance}}": "rate(qlive:requests_failed:total[5m])",
                "503 {{instance}}": rate('qlive_requests_total{status="503"}'),
            },
        ),
        ("Restarts within an hour", "short", {"{{instance}}": "changes(qlive_started_at[1h])"}),
        (
            "Refused by rate limits",
            "reqps",
            {"{{class}} by {{by}}": rate("qlive_requests_limited_total", "class, by")},
        ),
        (
            "Oldest waiting",
            "s",
            {
                "call to Tencent": "max(qlive_outbox_oldest_seconds)",
                "unpaid order": "max(qlive_oldest_unpaid_order_seconds)",
                "withdrawal {{state}}": "max by (state) (qlive_oldest_withdrawal_seconds)",
                "ledger check": "time() - max(qlive_ledger_checked_at)",
            },
        ),
    ],
    "Load": [
        ("Sockets", "short", {"{{instance}}": f"sum {BY} (qlive_sockets)"}),
        ("Requests", "reqps", {"{{status}}": rate("qlive_requests_total", "status")}),
        ("Events delivered", "cps", {"{{instance}}": rate("qlive_events_published_total")}),
        ("Handshakes", "cps", {"{{instance}}": rate("qlive_handshakes_total")}),
        ("Sockets closed", "cps", {"{{code}}": rate("qlive_closes_total", "code")}),
        (
            "In progress",
            "short",
            {
                "requests {{instance}}": "qlive_requests_in_progress",
                "rooms {{instance}}": "qlive_rooms_with_sockets",
            },
        ),
    ],
    "Time": [
        ("Answer, p99", "s", {"{{instance}}": p99("qlive_request_seconds")}),
        (
            "Answer of the ten slowest calls, p99",
            "s",
            {"{{route}}": f"topk(10, {p99('qlive_request_seconds', 'route')})"},
        ),
        ("Event to the last socket, p99", "s", {"{{instance}}": p99("qlive_published_seconds")}),
        ("MongoDB, p99", "s", {"{{command}}": p99("qlive_mongo_seconds", "command")}),
        ("Delay of the event loop", "s", {"{{instance}}": "qlive_loop_lag_seconds"}),
        (
            "Retries and late events",
            "cps",
            {
                "conflicts": rate("qlive_conflict_retries_total", "job"),
                "events read late": rate("qlive_backfilled_total", "job"),
                "gaps of the bus": rate("qlive_bus_gaps_total", "job"),
            },
        ),
    ],
    "Money": [
        ("Ledger problems", "short", {"problems": "max(qlive_ledger_problems)"}),
        (
            "Gold",
            "short",
            {
                "gold": "max(qlive_gold)",
                "income": "max(qlive_income)",
                "owed": "max(qlive_gold_owed)",
                "held": "max(qlive_income_held)",
            },
        ),
        (
            "Paid less refunds, and withdrawn",
            "short",
            {
                "paid, yuan": "max(qlive_paid_fen) / 100",
                "withdrawn, yuan": "max(qlive_withdrawn_fen) / 100",
            },
        ),
        (
            "Withdrawals",
            "short",
            {
                "{{state}}": "max by (state) (qlive_withdrawals_open)",
                "problem {{code}}": "max by (code) (qlive_transfer_problems)",
            },
        ),
        (
            "Payment notifications refused",
            "short",
            {"{{instance}}": "increase(qlive:payments_refused:total[1h])"},
        ),
        (
            "Callbacks refused",
            "short",
            {
                "{{source}} {{reason}}": "sum by (source, reason)"
                " (increase(qlive_callbacks_refused_total[1h]))"
            },
        ),
        (
            "Calls of virtual payment rejected",
            "short",
            {
                "{{call}} {{errcode}}": "sum by (call, errcode)"
                " (increase(qlive_xpay_rejections_total[1h]))"
            },
        ),
        (
            "Events of WeChat in a day",
            "short",
            {"{{event}}": "sum by (event) (increase(qlive_platform_events_total[1d]))"},
        ),
        (
            "Operators and chat groups",
            "short",
            {
                "wrong tokens": "sum(increase(qlive_operator_tokens_refused_total[1h]))",
                "refused logins": "sum(increase(qlive_operator_logins_refused_total[1h]))",
                "reads": "sum(increase(qlive_operator_reads_total[1h]))",
                "groups replaced": "sum(increase(qlive_groups_replaced_total[1h]))",
            },
        ),
    ],
}
SOURCE = {"type": "prometheus", "uid": "${source}"}


def queries() -> list[str]:
    """Return every query of the dashboard."""
    return [query for panels in ROWS.values() for _, _, lines in panels for query in lines.values()]


def dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": _position(0, y, 24, 1)})
        y += 1
        for n, panel in enumerate(row):
            line, column = divmod(n, COLUMNS)
            place = _position(column * WIDTH, y + line * HEIGHT, WIDTH, HEIGHT)
            panels.append(_panel(panel, place))
        y += -(-len(row) // COLUMNS) * HEIGHT
    source = {"name": "source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "qlive",
        "title": "QLive",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [{"id": n, **panel} for n, panel in enumerate(panels, 1)],
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    title, unit, lines = panel
    targets = [
        {"refId": chr(ord("A") + n), "expr": query, "legendFormat": legend, "datasource": SOURCE}
        for n, (legend, query) in enumerate(lines.items())
    ]
    defaults = {"unit": unit, "min": 0} if "problems" not in lines else {"unit": unit}
    return {
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": place,
        "targets": targets,
    }


def _position(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def main() -> None:
    sys.stdout.write(json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
