"""`hypervigil explain RULE EVENT`: a rule found by name, events from raw lines or JSON, and the tree that says why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.tree import Tree

from .config import Settings
from .errors import ContentError, InputError
from .events import to_dicts
from .kernel.engine import Engine
from .rulebook import places
from .sigma.catalogue import load_catalogue
from .sigma.explain import explain, render
from .sigma.load import Rule


def read(path: Path) -> bytes:
    """The bytes of a file. Raises InputError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path) from None


def explain_text(name: str, data: bytes, parser: str | None = None) -> Iterator[Tree]:
    """One tree per event of `data`: an event as JSON (with @timestamp, as `hypervigil parse` prints it) or raw log lines."""
    rule = find_rule(name)
    for event in events_in(data, parser):
        yield render(rule, explain(rule, event))


def find_rule(name: str) -> Rule:
    """The one rule whose id is `name` or whose file name or title contains it. Raises ContentError when none or many do."""
    rules = load_catalogue(places(Settings())).rules
    exact = [r for r in rules if name in (r.id, r.path.stem)]
    found = exact or [r for r in rules if name.lower() in f"{r.path.stem} {r.title}".lower()]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(r.path.stem for r in found or rules))
    raise ContentError(f"{'no' if not found else 'more than one'} rule is named {name!r}", hint=f"one of: {known}")


def events_in(data: bytes, parser: str | None) -> Iterator[dict[str, Any]]:
    """Events as nested dicts."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and "@timestamp" in document:
        yield document
        return
    for batch in Engine().process_bytes(data, datetime.now(UTC), "-", parser):
        if batch.events.height:
            yield from to_dicts(batch.events)
