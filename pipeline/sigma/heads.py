"""What correlations and jobs say of themselves before their body, read and checked (of rules pySigma does that)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from ..errors import ContentError
from .documents import Document

LEVELS = ("informational", "low", "medium", "high", "critical")
STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")


def head(document: Document) -> dict[str, Any]:
    """The fields that a correlation and a job have in common."""
    data = document.data
    return {"id": str(data["id"]), "title": str(data["title"]), "name": str(data.get("name") or ""),
            "level": str(data.get("level") or "medium"), "status": str(data.get("status") or ""),
            "description": str(data.get("description") or ""), "author": str(data.get("author") or ""), "date": _date(data.get("date")),
            "tags": _texts(data.get("tags")), "falsepositives": _texts(data.get("falsepositives")),
            "references": _texts(data.get("references"))}


def head_errors(document: Document, specification: str) -> Iterator[ContentError]:
    """What is missing from the head, or unknown; `specification`: where its keys are described."""
    data = document.data
    for key in ("title", "id"):
        if not data.get(key):
            yield document.error(f"`{key}` is missing", hint=specification)
    if data.get("level") is not None and data["level"] not in LEVELS:
        yield document.error(f"unknown level {data['level']!r}", "level", hint=", ".join(LEVELS))
    if data.get("status") is not None and data["status"] not in STATUSES:
        yield document.error(f"unknown status {data['status']!r}", "status", hint=", ".join(STATUSES))
    if data.get("date") is not None and _date(data["date"]) is None:
        yield document.error(f"not a date: {data['date']!r}", "date", hint="yyyy-mm-dd")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _date(value: Any) -> dt.date | None:
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value)) if value is not None else None
    except ValueError:
        return None
