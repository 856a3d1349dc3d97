"""Changes to the `key: values` of a document's selections that keep the line of each key, so that errors still find it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .documents import Document, KeyPath

# Key path, key and value as written -> key and value to read in their place.
Change = Callable[[KeyPath, str, Any], tuple[str, Any]]
NOT_SELECTIONS = ("condition", "rules")
_WORDS = {"and", "or", "not", "of", "all", "any", "1"}
_TOKEN = re.compile(r"[\w*-]+")


def holder(document: Document) -> str:
    """The key that has the selections: `detection`, of a filter `filter`."""
    return "filter" if document.kind == "filter" else "detection"


def rewrite(document: Document, change: Change) -> Document:
    """The document with `change` applied to every `key: value` of its selections.

    Raises ContentError when two keys become one and their values are lists.
    """
    place = holder(document)
    detection = document.data.get(place)
    if not isinstance(detection, dict):
        return document
    moved: dict[KeyPath, KeyPath] = {}

    def selection(value: Any, keys: KeyPath) -> Any:
        if isinstance(value, list):
            return [selection(item, (*keys, number)) for number, item in enumerate(value)]
        return pairs(value, keys) if isinstance(value, dict) else value

    def pairs(values: dict[Any, Any], keys: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            at = (*keys, str(key))
            name, changed = change(at, str(key), value)
            if not _both(found, name, changed):
                raise document.error(f"{key}: a second {name!r} in one selection", *at, hint="put it into a selection of its own")
            moved[at] = (*keys, name)
        return found

    selections = {name: value if name in NOT_SELECTIONS else selection(value, (place, name)) for name, value in detection.items()}
    if selections == detection:
        return document
    return document.changed(document.data | {place: selections}, {_moved(keys, moved): line for keys, line in document.lines.items()})


def _both(found: dict[str, Any], name: str, value: Any) -> bool:
    """Add a pair to a selection; of two for one key, which must both hold, `|all` makes one. Returns whether it could."""
    if name not in found:
        found[name] = value
        return True
    together = f"{name}|all"
    already = found.get(together, [found[name]])
    if isinstance(value, list) or isinstance(found[name], list) or not isinstance(already, list):
        return False
    found[together] = [*already, value]
    return True


def _moved(keys: KeyPath, moved: dict[KeyPath, KeyPath]) -> KeyPath:
    for length in range(len(keys), 2, -1):
        if keys[:length] in moved:
            return moved[keys[:length]] + keys[length:]
    return keys


def narrowed(document: Document, selections: dict[str, Any], condition: str, logsource: Mapping[str, str] | None = None) -> Document:
    """The document with more selections, a condition over them that must hold as well, and another log source if one is given."""
    place = holder(document)
    detection = document.data[place]
    written = detection.get("condition")
    conditions = [f"({each}) and ({condition})" for each in (written if isinstance(written, list) else [written])]
    joined = detection | selections | {"condition": conditions if isinstance(written, list) else conditions[0]}
    return document.changed(document.data | {place: joined}, document.lines, logsource) if written else document


def renamed(condition: str, prefix: str) -> str:
    """The condition with every selection under its new name."""

    def token(found: re.Match[str]) -> str:
        word = found[0]
        return word if word.lower() in _WORDS else f"{prefix}*" if word == "them" else prefix + word

    return _TOKEN.sub(token, condition)


def pairs_of(document: Document) -> Iterator[tuple[str, Any]]:
    """Every `key: value` of a document's selections."""
    found: list[tuple[str, Any]] = []

    def note(_: KeyPath, key: str, value: Any) -> tuple[str, Any]:
        found.append((key, value))
        return key, value

    rewrite(document, note)
    yield from found
