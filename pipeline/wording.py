"""What happened, in words: a rule's `custom.explain` filled with the values of its events."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .rows import ENTITY_FIELDS, Row, distinct, time_of
from .text import one_line

PLACEHOLDER = re.compile(r"\{([@\w.]+)\}")
_NOBODY = {"user.name": "somebody", "source.ip": "an unknown address", "host.name": "an unnamed host"}


def explanation(title: str, explain: str, rows: Sequence[Row], count: int) -> str:
    """`explain` with `{field}` filled in, else a sentence from title and entities; then how often and how long."""
    template = explain.strip()
    words = PLACEHOLDER.sub(lambda field: _values(rows, *_fields_of(field[1])), template) if template else _sentence(title, rows)
    words = words[:1].upper() + words[1:] if template.startswith("{user.name}") and words.startswith("somebody") else words
    times = [when for when in map(time_of, rows) if when]
    if count > 1 and times:
        stop = "" if words.endswith((".", "!", "?")) else "."
        words += f"{stop} Seen {count} times from {times[0]:%H:%M:%S} to {times[-1]:%H:%M:%S} UTC."
    return words


def _fields_of(name: str) -> tuple[str, ...]:
    """What `{name}` may be filled with: a VM without a name is still known by its id or path."""
    return ENTITY_FIELDS["vm"] if name == "vm.name" else (name,)


def _sentence(title: str, rows: Sequence[Row]) -> str:
    parts = [f"{word} {_values(rows, *fields)}" for word, fields in (
        ("on", ENTITY_FIELDS["host"]), ("VM", ENTITY_FIELDS["vm"]), ("by", ENTITY_FIELDS["user"]), ("from", ENTITY_FIELDS["source_ip"]))
        if distinct(rows, fields)]
    return " ".join([title.rstrip("."), *parts]) + "."


def _values(rows: Sequence[Row], *fields: str) -> str:
    """Up to three different values in words. Made one printable line each: the words also reach terminals, and log text is hostile."""
    values = [one_line(value, 200) for value in distinct(rows, fields)]
    if len(values) > 3:
        values = [*values[:3], f"{len(values) - 3} more"]
    return " and ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values) or _NOBODY.get(fields[0], "(unknown)")
