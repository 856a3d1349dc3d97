"""Events as people and machines read them: nested JSON without nulls, or a coloured line on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
from rich.text import Text

_LEVEL = {"failure": "red", "success": "green"}


def to_dicts(flat: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Nested ECS dicts of a flat frame, nulls and empty lists left out, times as ISO 8601 UTC. Kernel columns (`_x`) are left out too."""
    for row in flat.select(n for n in flat.columns if not n.startswith("_")).to_dicts():
        yield nest(row)


def nest(row: dict[str, Any]) -> dict[str, Any]:
    """One flat row as nested dicts."""
    event: dict[str, Any] = {}
    for name in sorted(row):
        value = row[name]
        if value is None or value == []:
            continue
        node = event
        *groups, leaf = name.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = iso(value) if isinstance(value, datetime) else value
    return event


def flatten(event: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to dotted names."""
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def iso(time: datetime) -> str:
    """2026-03-01T10:00:00.123Z; microseconds only where there are some."""
    text = time.astimezone(UTC).isoformat(timespec="milliseconds" if time.microsecond % 1000 == 0 else "microseconds")
    return text.replace("+00:00", "Z")


def ndjson(event: dict[str, Any]) -> str:
    """One event as a line of JSON."""
    return orjson.dumps(event).decode()


def readable(event: dict[str, Any]) -> Text:
    """One event as a line for a terminal: time, host, program, action, outcome, who, where from, message.

    Control characters are shown, not sent.
    """
    flat = flatten(event)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(str(flat["@timestamp"]).ljust(27), "dim")
    line.append(f" {flat.get('host.name', '-'):<16.16}", "cyan")
    line.append(f" {flat.get('process.name', '-'):<12.12}", "blue")
    outcome = flat.get("event.outcome", "")
    line.append(f" {flat.get('event.action') or 'unparsed'}", _LEVEL.get(outcome, "bold" if "event.action" in flat else "yellow"))
    for label, field in (("", "event.outcome"), ("user ", "user.name"), ("from ", "source.ip"), ("vm ", "vm.name")):
        if field in flat:
            line.append(f" {label}{printable(str(flat[field]))}", "magenta" if label else _LEVEL.get(outcome, ""))
    line.append(f"  {printable(str(flat.get('message', '')))[:300]}", "dim")
    return line


def printable(text: str) -> str:
    """Log text is hostile input: escape sequences must not reach the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
