"""Hits and events as flat rows (dotted field -> value), and what alerts and their words read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTITY_FIELDS = {
    "user": ("user.name",),
    "host": ("host.name",),
    "vm": ("vm.name", "vm.id", "vm.path"),
    "source_ip": ("source.ip",)}


def time_of(row: Row) -> datetime | None:
    """`@timestamp` of a row in UTC; text without a zone is UTC."""
    value = row.get("@timestamp")
    if value is None:
        return None
    when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def first_of(row: Row, fields: tuple[str, ...]) -> str | None:
    """The first of some fields that is there; the items of a list as one text."""
    value = next((row[field] for field in fields if row.get(field)), None)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else None if value is None else str(value)


def distinct(rows: Sequence[Row], fields: tuple[str, ...]) -> tuple[str, ...]:
    """Different values in order of time."""
    return tuple(dict.fromkeys(value for row in rows if (value := first_of(row, fields))))
