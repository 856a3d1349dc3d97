"""Field maps: rules in the taxonomy of others (SigmaHQ's `Image`, `CommandLine`) read as if they were written in ours (ECS).

A map is a file of data:

    logsource: {product: linux, category: process_creation}    # the rules it is for: theirs has all of these
    datasets: [linux.auditd, vmware.esxi]                      # where we have such events; default: the rule's own log source
    when: {event.category: process, event.type: start}         # and which events of those they are
    fields: {Image: process.executable, CommandLine: process.command_line}

Several may be for one rule: the more particular one wins, field by field; of two alike a user's map wins over ours. A field that no
map names is taken for one of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from .. import content
from ..errors import ContentError
from ..schema import BY_NAME
from .documents import Document
from .rewrite import narrowed, rewrite

SOURCE = "_log_source"  # the selection that a map adds


def _ours(name: str) -> str:
    if name not in BY_NAME:
        near = get_close_matches(name, BY_NAME, 1)
        raise ValueError(f"unknown field {name!r}" + (f", did you mean {near[0]}?" if near else ", deploy/schema.md lists the fields"))
    return name


OurField = Annotated[str, AfterValidator(_ours)]


class FieldMap(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    taxonomy: str = "sigma"
    logsource: dict[Literal["product", "category", "service"], str]
    datasets: tuple[str, ...] = ()
    when: dict[OurField, str | int | list[str | int]] = {}
    fields: dict[str, OurField] = {}

    @property
    def selection(self) -> dict[str, Any]:
        """What an event must be for the rules to be about it."""
        return ({"event.dataset": list(self.datasets)} if self.datasets else {}) | dict(self.when)


@dataclass(frozen=True)
class FieldMaps:
    """All maps, those that win last, and what is wrong with the files."""

    maps: tuple[tuple[Path, FieldMap], ...] = ()
    errors: tuple[ContentError, ...] = ()

    def mapped(self, document: Document) -> Document:
        """The document with our fields in place of theirs. Raises ContentError when two of theirs become one."""
        mine = [each for _, each in self.maps if _is_for(each, document.written)]
        if not mine:
            return document
        fields = {theirs: ours for each in mine for theirs, ours in each.fields.items()}
        found = rewrite(document, lambda keys, key, value: _pair(fields, key, value))
        selection = next((each.selection for each in reversed(mine) if each.selection), {})
        if not selection:
            return found
        anywhere: Mapping[str, str] | None = {} if "event.dataset" in selection else None
        return narrowed(found, {SOURCE: selection}, SOURCE, anywhere)


def _is_for(each: FieldMap, rule: Mapping[str, Any]) -> bool:
    source = rule.get("logsource")
    return isinstance(source, dict) and each.logsource.items() <= source.items() and each.taxonomy == rule.get("taxonomy", "sigma")


def _pair(fields: Mapping[str, str], key: str, value: Any) -> tuple[str, Any]:
    name, *modifiers = key.split("|")
    if "fieldref" in modifiers:
        value = [fields.get(str(each), each) for each in value] if isinstance(value, list) else fields.get(str(value), value)
    return "|".join([fields.get(name, name), *modifiers]), value


def read_field_maps(ours: Path, users: Iterable[Path]) -> FieldMaps:
    """The maps of our folder and those that users name (files or folders)."""
    found: list[tuple[Path, FieldMap]] = []
    errors: list[ContentError] = []
    for place in (ours, *users):
        for path in sorted(place.glob("*.yml")) if place.is_dir() else [place] if place.exists() else []:
            try:
                found.append((path, content.read_model(path, FieldMap)))
            except ContentError as error:
                errors.append(error)
    return FieldMaps(tuple(sorted(found, key=lambda each: len(each[1].logsource))), tuple(errors))
