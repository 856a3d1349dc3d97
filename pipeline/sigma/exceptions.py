"""Exceptions of users: what they know to be harmless in their own house, as data beside the rules.

    - rule: esx_ssh_enabled                     # name, id or file name of a rule, correlation or job
      when: {host.name|startswith: lab-}        # as a selection of Sigma; all of it must hold
      owner: anna@example.org
      reason: lab hosts are maintained by SSH
      expires: 2027-03-31                       # the last day

The condition is compiled by the engine that compiles rules and judged on hits, before they become alerts. Nothing is thrown away: hits
stay hits, and an alert that an exception silences is kept, with its reason. Whether an exception has expired is decided by the day of
the run, not of the event: what was excused yesterday is asked again today.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from .. import content
from ..errors import ContentError, did_you_mean
from ..schema import BY_NAME
from .compile import check_rule, compile_rule
from .documents import Document, KeyPath
from .jobs import AnyRule
from .lists import Lists
from .load import read_rule
from .terms import Node, dtype, fields, matches, terms

DEFAULT = "exceptions.yml"
_HINT = "an exception has rule, when (field: value), owner, reason and expires (yyyy-mm-dd)"
Row = Mapping[str, Any]


class Entry(BaseModel):
    """One exception as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str = Field(min_length=1)
    when: dict[str, Any] = Field(min_length=1)
    owner: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    expires: dt.date


class _File(RootModel[tuple[Entry, ...]]):
    """An exceptions.yml."""


@dataclass(frozen=True)
class UserException:
    """An exception, the id of the rule it is for, and its condition compiled."""

    entry: Entry
    rule: str
    node: Node
    path: Path
    line: int | None

    def expired(self, today: dt.date) -> bool:
        """Whether its last day is over."""
        return self.entry.expires < today

    def holds(self, rows: Sequence[Row]) -> list[bool]:
        """Of which rows (flat, by dotted field) its condition is true."""
        names = sorted({name for term in terms(self.node) for name in fields(term)})
        frame = pl.DataFrame([pl.Series(name, [_of_type(row.get(name), name) for row in rows], dtype(BY_NAME[name]), strict=False)
                              for name in names])
        return matches(self.node, frame).to_list()


@dataclass(frozen=True)
class Exceptions:
    """All exceptions on a day."""

    entries: tuple[UserException, ...] = ()
    today: dt.date = dt.date.min

    @cached_property
    def active(self) -> tuple[UserException, ...]:
        """Those that still hold, the one that ends first before the others."""
        return tuple(sorted((e for e in self.entries if not e.expired(self.today)), key=lambda e: e.entry.expires))

    @property
    def expired(self) -> tuple[UserException, ...]:
        """Those that hold no longer."""
        return tuple(e for e in self.entries if e.expired(self.today))

    @property
    def fields(self) -> set[str]:
        """The event fields that the active ones ask for."""
        return {name for each in self.active for term in terms(each.node) for name in fields(term)}

    @property
    def version(self) -> str:
        """What the active ones say, as a short hash: alerts are judged anew when it changes."""
        said = "\n".join(each.entry.model_dump_json() for each in self.active)
        return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if said else ""

    def as_dict(self) -> dict[str, Any]:
        """What a run writes down: how many hold, their version, and those that have expired."""
        expired = [{"path": str(e.path), "line": e.line, **e.entry.model_dump(mode="json", exclude={"when"})} for e in self.expired]
        return {"active": len(self.active), "version": self.version, "expired": expired}

    def silencing(self, rule: str, rows: Sequence[Row]) -> list[Entry | None]:
        """The exception that silences each hit of a rule, or None."""
        found: list[Entry | None] = [None] * len(rows)
        for each in (e for e in self.active if e.rule == rule and rows):
            found = [known or (each.entry if held else None) for known, held in zip(found, each.holds(rows), strict=True)]
        return found


def read_exceptions(path: Path | None, rules: Iterable[AnyRule], lists: Lists, today: dt.date) -> Exceptions:
    """The exceptions of a file (None: `exceptions.yml` in the working directory, if there is one). Raises ContentError."""
    found, errors = load_exceptions(path, rules, lists, today)
    if errors:
        raise errors[0]
    return found


def load_exceptions(path: Path | None, rules: Iterable[AnyRule], lists: Lists, today: dt.date) -> tuple[
        Exceptions, list[ContentError]]:
    """The exceptions of a file, and everything that is wrong with the others."""
    file = path or Path(DEFAULT)
    if path is None and not file.exists():
        return Exceptions((), today), []
    try:
        data = content.read_yaml(file)
        _File.model_validate(data or [])
    except ContentError as error:
        return Exceptions((), today), [error]
    except ValidationError as wrong:
        return Exceptions((), today), [_invalid(file, error) for error in wrong.errors()]
    known = {key: rule for rule in rules for key in (rule.path.stem, rule.name, rule.id) if key}
    entries: list[UserException] = []
    errors: list[ContentError] = []
    for number, entry in enumerate(_File.model_validate(data or []).root):
        made, found = _compiled(file, number, entry, known, lists)
        entries += [made] if made else []
        errors += found
    return Exceptions(tuple(entries), today), errors


def _invalid(path: Path, error: Mapping[str, Any]) -> ContentError:
    number, *keys = error["loc"] or (None,)
    what = f"exception {number + 1}" if isinstance(number, int) else "exceptions"
    return ContentError(f"{what}: {'.'.join(map(str, keys))}: {error['msg']}", path, content.line_of(path, error["loc"]) or 1, _HINT)


def _compiled(path: Path, number: int, entry: Entry, known: Mapping[str, AnyRule], lists: Lists) -> tuple[
        UserException | None, list[ContentError]]:
    line = content.line_of(path, (number,))
    if entry.rule not in known:
        hint = did_you_mean(entry.rule, known, "the name, id or file name of a rule, correlation or job")
        line = content.line_of(path, (number, "rule"))
        return None, [ContentError(f"exception {number + 1}: no rule is named {entry.rule!r}", path, line, hint)]
    document = _as_rule(path, number, entry)
    try:
        rule, errors = read_rule(lists.expanded(document))
        errors = errors or (check_rule(rule) if rule else [])
    except ContentError as error:
        rule, errors = None, [error]
    if rule is None or errors:
        name = str(document.data["title"])
        return None, [replace(error, message=error.message.replace(f"rule {name!r}", name, 1)) for error in errors]
    return UserException(entry, known[entry.rule].id, compile_rule(rule), path, line), []


def _as_rule(path: Path, number: int, entry: Entry) -> Document:
    """The condition as a rule of one selection, whose keys have the lines of the file."""
    data = {"title": f"exception {number + 1}", "logsource": {"product": "any"}, "detection": {"when": entry.when, "condition": "when"}}
    lines: dict[KeyPath, int] = {(): content.line_of(path, (number,)) or 1}
    lines |= {("detection", "when", key): content.line_of(path, (number, "when", key)) or 1 for key in entry.when}
    return Document(path, data, lines)


def _of_type(value: Any, name: str) -> Any:
    """A field with many values has a list of them."""
    return [value] if BY_NAME[name].many and value is not None and not isinstance(value, list) else value
