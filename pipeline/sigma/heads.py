"""What rules, correlations and jobs say of themselves before their body. Of rules pySigma reads and checks it, of the others we do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ContentError
from .documents import Document
from .metadata import Custom

LEVELS = ("informational", "low", "medium", "high", "critical")
STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a rule, a correlation and a job have in common."""

    id: str
    title: str
    name: str
    level: str
    status: str
    description: str
    author: str
    date: dt.date | None
    tags: tuple[str, ...]
    falsepositives: tuple[str, ...]
    references: tuple[str, ...]
    custom: Custom
    document: Document = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return self.document.version

    @property
    def path(self) -> Path:
        return self.document.path

    @property
    def cases_path(self) -> Path:
        return self.path.with_suffix(".cases.yaml")


def head(document: Document) -> dict[str, Any]:
    """The fields of Head that a document tells by itself."""
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
