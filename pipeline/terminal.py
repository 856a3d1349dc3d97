"""What the command prints: the table of alerts for people, JSON for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import orjson
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .alerts import Alert, rank
from .text import visible

_COLOURS = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan", "informational": "dim"}


def alert_table(alerts: Sequence[Alert]) -> Table:
    """The alerts to look at, most urgent first: what happened, where, by whom, from where, how often."""
    table = Table("severity", "what happened", "host", "user", "vm", "events", "first seen (UTC)", box=None, header_style="dim")
    for alert in sorted(alerts, key=rank):
        people, machines, guests = (_few(names) for names in (alert.entities.user, alert.entities.host, alert.entities.vm))
        table.add_row(
            Text(alert.severity, _COLOURS[alert.severity]),
            alert.rule.name,
            machines,
            people,
            guests,
            str(alert.count),
            f"{alert.first:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _few(names: tuple[str, ...]) -> str:
    return escape(visible(", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
