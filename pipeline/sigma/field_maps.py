"""Field maps: rules in the taxonomy of others (SigmaHQ's `Image`, `CommandLine`) read as if they were written in ours (ECS).

A map is a file of data:

    logsource: {product: linux, category: process_creation}    # the rules it is for: theirs has all of these
    datasets: [vmware.esxi]                                    # where we have such events; default: the rule's own log source
    when: {event.category: process, event.type: start}         # and which events of those they are
    fields:
      CommandLine: process.command_line
      Image: {program_of: process.command_line}                # the first word of a command, where the record has no path of the program

Of the maps for a rule those with the most particular log source count. Several of them are alternatives: the rule is about the events of
each, and a map that lacks one of its fields is no alternative. A user's map replaces ours for the same log source and datasets. A field
that no map names is taken for one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr

from .. import content
from ..errors import ContentError, did_you_mean
from ..schema import BY_NAME
from .documents import Document, KeyPath
from .rewrite import NOT_SELECTIONS, narrowed, pairs_of, renamed, rewrite

SOURCE = "_log_source"  # the selection that a map adds


def _ours(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(f"unknown field {name!r}, {did_you_mean(name, BY_NAME, 'deploy/schema.md lists the fields')}")
    return name


OurField = Annotated[str, AfterValidator(_ours)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Program(_Strict):
    """The program that a command runs: its first word."""

    program_of: OurField

    def pair(self, modifiers: list[str], value: Any) -> tuple[str, Any]:
        """Key and value that ask the first word of a command what was asked of the path of a program."""
        if value is None or "re" in modifiers:
            return "|".join([self.program_of, *modifiers]), value
        kind = next((modifier for modifier in modifiers if modifier in ("contains", "startswith", "endswith")), "equals")
        values = [_first_word(kind, str(each)) for each in (value if isinstance(value, list) else [value])]
        kept = [modifier for modifier in modifiers if modifier in ("all", "neq")]
        return "|".join([self.program_of, "re", *([] if "cased" in modifiers else ["i"]), *kept]), values


def _first_word(kind: str, path: str) -> str:
    """A regex for a command. A program may be called by its name alone, so what is or ends in `/esxcli` is also just `esxcli`."""
    text = re.escape(path).replace(r"\*", r"\S*").replace(r"\?", r"\S")
    anything = "" if kind in ("equals", "startswith") else r"\S*"
    if kind in ("contains", "startswith"):
        return f"^{anything}{text}"
    folder, slash, name = text.rpartition("/")
    place = f"(?:{anything}{folder}/)?" if slash else anything
    return rf"^{place}{name}(?:\s|$)"


class FieldMap(_Strict):
    """One file."""

    title: str = ""
    taxonomy: str = "sigma"
    logsource: dict[Literal["product", "category", "service"], str]
    datasets: tuple[str, ...] = ()
    when: dict[OurField, str | int | list[str | int]] = {}
    fields: dict[str, OurField | Program] = {}
    _path: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        return self._path

    def line(self, *keys: str) -> int | None:
        """The line of a key in the file."""
        return content.line_of(self._path, keys)

    @property
    def selection(self) -> dict[str, Any]:
        """What an event must be for the rules to be about it."""
        return ({"event.dataset": list(self.datasets)} if self.datasets else {}) | dict(self.when)

    def is_for(self, rule: Mapping[str, Any]) -> bool:
        """Whether a rule, as written, is of the map's taxonomy and log source."""
        source = rule.get("logsource")
        return isinstance(source, dict) and self.logsource.items() <= source.items() and self.taxonomy == rule.get("taxonomy", "sigma")

    def covers(self, names: set[str]) -> bool:
        """Whether every field is mapped, or one of ours."""
        return names <= self.fields.keys() | BY_NAME.keys()

    def mapped(self, document: Document) -> Document:
        """The document with our fields in place of theirs, about the events of this map only."""
        found = rewrite(document, self._pair)
        return narrowed(found, {SOURCE: self.selection}, SOURCE, {} if self.datasets else None) if self.selection else found

    def _pair(self, _: KeyPath, key: str, value: Any) -> tuple[str, Any]:
        name, *modifiers = key.split("|")
        target = self.fields.get(name, name)
        if isinstance(target, Program):
            return target.pair(modifiers, value)
        if "fieldref" in modifiers:
            value = [self.plain(each) for each in value] if isinstance(value, list) else self.plain(value)
        return "|".join([target, *modifiers]), value

    def plain(self, name: Any) -> Any:
        """The field of ours that one of theirs is read from."""
        target = self.fields.get(str(name), name)
        return target.program_of if isinstance(target, Program) else target


@dataclass(frozen=True)
class FieldMaps:
    """All maps, and what is wrong with the files."""

    maps: tuple[FieldMap, ...] = ()
    errors: tuple[ContentError, ...] = ()

    def mapped(self, document: Document) -> Document:
        """The document as our events have it. Raises ContentError when two of its fields become one."""
        if document.kind == "correlation":
            return _grouped(document, _agreed(self.maps))
        found = [each for each in self.maps if each.is_for(document.written)]
        closest = max((len(each.logsource) for each in found), default=0)
        found = [each for each in found if len(each.logsource) == closest]
        if document.kind == "filter":  # it narrows rules that are about the right events already
            return FieldMap(logsource={}, fields=_agreed(found)).mapped(document)
        names = {key.split("|")[0] for key, _ in pairs_of(document)} - {""}
        able = [each for each in found if each.covers(names)] or found[:1]
        return _alternatives(document, [each.mapped(document) for each in able]) if able else document


def _agreed(maps: Iterable[FieldMap]) -> dict[str, str]:
    """Fields that all maps which name them read from the same field of ours."""
    targets: dict[str, set[str]] = {}
    for each in maps:
        for name in each.fields:
            targets.setdefault(name, set()).add(each.plain(name))
    return {name: next(iter(found)) for name, found in targets.items() if len(found) == 1}


def _grouped(document: Document, fields: Mapping[str, str]) -> Document:
    """A correlation, which has no log source, with our fields in group-by, aliases and what is counted."""
    body = document.data["correlation"]
    if not isinstance(body, dict):
        return document

    def ours(value: Any) -> Any:
        return [ours(each) for each in value] if isinstance(value, list) else fields.get(str(value), value)

    changed = body | {key: ours(value) for key, value in body.items() if key == "group-by"}
    if isinstance(condition := body.get("condition"), dict) and "field" in condition:
        changed["condition"] = condition | {"field": ours(condition["field"])}
    if isinstance(aliases := body.get("aliases"), dict):
        changed["aliases"] = {name: {rule: ours(field) for rule, field in mapping.items()} if isinstance(mapping, dict) else mapping
                              for name, mapping in aliases.items()}
    return document.changed(document.data | {"correlation": changed}, document.lines)


def _alternatives(document: Document, readings: list[Document]) -> Document:
    """One rule that is any of some readings of it."""
    if len(readings) == 1:
        return readings[0]
    detection: dict[str, Any] = {}
    lines = {keys: line for keys, line in document.lines.items() if keys[:1] != ("detection",) or len(keys) == 1}
    conditions = []
    for number, reading in enumerate(readings):
        prefix, body = f"map{number}_", reading.data["detection"]
        detection |= {prefix + name: value for name, value in body.items() if name not in NOT_SELECTIONS}
        lines |= {("detection", prefix + str(keys[1]), *keys[2:]): line for keys, line in reading.lines.items()
                  if keys[:1] == ("detection",) and len(keys) > 1}
        written = body.get("condition")
        conditions += [renamed(str(each), prefix) for each in (written if isinstance(written, list) else [written])]
    together = detection | {"condition": " or ".join(f"({each})" for each in conditions)}
    everywhere = {} if any(reading.logsource == {} for reading in readings) else document.logsource
    return document.changed(document.data | {"detection": together}, lines, everywhere)


def read_field_maps(ours: Path, users: Iterable[Path]) -> FieldMaps:
    """The maps of our folder and those that users name (files or folders); a later one for the same events replaces an earlier one."""
    found: dict[tuple[Any, ...], FieldMap] = {}
    errors: list[ContentError] = []
    for place in (ours, *users):
        for path in sorted(place.glob("*.yml")) if place.is_dir() else [place] if place.exists() else []:
            try:
                each = content.read_model(path, FieldMap)
                each._path = path
                found[each.taxonomy, tuple(sorted(each.logsource.items())), each.datasets] = each
            except ContentError as error:
                errors.append(error)
    return FieldMaps(tuple(found.values()), tuple(errors))
