"""Reads Sigma rules from folders: ours, and those of others beside it. Collects every error instead of stopping at the first."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from sigma.exceptions import SigmaError
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetection, SigmaRule

from .. import content
from ..errors import ContentError, did_you_mean
from . import repairs  # noqa: F401 (registers itself with pySigma)
from .documents import SPECIFICATION, Document, KeyPath, read_documents
from .field_maps import FieldMaps, read_field_maps
from .heads import Head
from .lists import Lists, read_lists
from .metadata import Custom, read_custom

LISTS, FIELD_MAPS = "lists", "field_maps"  # folders of detections/ that hold data, not rules


@dataclass(frozen=True)
class Places:
    """Where rules are, and the data they are read with."""

    detections: Path | None = None  # ours; default: detections/
    others: tuple[Path, ...] = ()  # files or folders of other people's rules
    lists: Path | None = None  # a folder of lists that replace ours of the same names
    field_maps: tuple[Path, ...] = ()  # files or folders of maps that win over ours

    @property
    def ours(self) -> Path:
        return self.detections or content.folder("detections")

    @property
    def rule_files(self) -> Iterator[tuple[Path, bool]]:
        """Every file of rules, and whether it is somebody else's."""
        data = (self.ours / LISTS, self.ours / FIELD_MAPS)
        yield from ((path, False) for path in sorted(self.ours.rglob("*.yml")) if not any(map(path.is_relative_to, data)))
        for place in self.others:
            files = sorted(p for p in place.rglob("*") if p.suffix in (".yml", ".yaml")) if place.is_dir() else [place]
            yield from ((path, True) for path in files if not path.name.endswith(".cases.yaml"))

    def missing(self) -> Path | None:
        """A place that is named and is not there."""
        return next((place for place in (*self.others, *filter(None, [self.lists]), *self.field_maps) if not place.exists()), None)


@dataclass(frozen=True)
class Reading:
    """What rules are read with; `foreign`: they are somebody else's."""

    lists: Lists = field(default_factory=Lists)
    field_maps: FieldMaps = field(default_factory=FieldMaps)
    foreign: bool = False

    def read(self, document: Document) -> Document:
        """The document as it is to be understood: our fields, values in place of lists. Raises ContentError."""
        if self.foreign:
            document = self.field_maps.mapped(_with_id(replace(document, foreign=True)))
        return self.lists.expanded(document)


@dataclass(frozen=True, kw_only=True)
class Rule(Head):
    """A single-event rule: what we carry of it, and the pySigma object that the exports need."""

    logsource: Mapping[str, str]
    sigma: SigmaRule = field(repr=False, compare=False)
    filters: tuple[Document, ...] = field(default=(), repr=False, compare=False)  # those that `sigma` has in it


@dataclass(frozen=True)
class Loaded:
    """What folders hold: rules, the documents that are correlations, filters and jobs, every document of ours, and all errors."""

    rules: tuple[Rule, ...] = ()
    correlations: tuple[Document, ...] = ()
    filters: tuple[Document, ...] = ()
    jobs: tuple[Document, ...] = ()
    ours: tuple[Document, ...] = ()
    lists: Lists = field(default_factory=Lists)
    errors: tuple[ContentError, ...] = ()


def load_rules(places: Places | None = None) -> Loaded:
    """Every rule of our folder and of others'. Errors are collected, in file order. Raises ContentError for a place that is not there."""
    places = places or Places()
    if absent := places.missing():
        raise ContentError("no such file or folder", absent, hint="--rules, --lists and --field-map name what is there")
    lists = read_lists([places.ours / LISTS, *filter(None, [places.lists])])
    maps = read_field_maps(places.ours / FIELD_MAPS, places.field_maps)
    found = [load_file(path, Reading(lists, maps, foreign)) for path, foreign in places.rule_files]
    together = _together(found)
    return replace(together, lists=lists, errors=(*lists.errors, *maps.errors, *together.errors))


def _together(parts: Iterable[Loaded]) -> Loaded:
    parts = tuple(parts)
    return Loaded(
        rules=tuple(rule for part in parts for rule in part.rules),
        correlations=tuple(document for part in parts for document in part.correlations),
        filters=tuple(document for part in parts for document in part.filters),
        jobs=tuple(document for part in parts for document in part.jobs),
        ours=tuple(document for part in parts for document in part.ours),
        errors=tuple(error for part in parts for error in part.errors))


def load_file(path: Path, reading: Reading | None = None) -> Loaded:
    """The rules of one file."""
    try:
        return load_text(path.read_text(encoding="utf-8"), path, reading)
    except (OSError, UnicodeDecodeError) as error:
        return Loaded(errors=(ContentError(f"cannot be read: {error}", path, 1, "a rule is a file of UTF-8 text"),))


def load_text(text: str, path: Path, reading: Reading | None = None) -> Loaded:
    """The rules of a text; `path` names it in errors."""
    found: list[Loaded] = []
    try:
        for document in read_documents(text, path):
            found.append(_loaded(document, reading or Reading()))
    except ContentError as error:
        found.append(Loaded(errors=(error,)))
    return _together(found)


def _loaded(document: Document, reading: Reading) -> Loaded:
    """One document of a file, whatever it is."""
    errors: list[ContentError] = [] if reading.foreign else list(_unknown_keys(document))
    ours = () if reading.foreign else (document,)
    try:
        document = reading.read(document)
    except ContentError as error:
        return Loaded(ours=ours, errors=(*errors, error))
    if document.kind == "correlation":
        return Loaded(correlations=(document,), ours=ours, errors=tuple(errors))
    if document.kind == "filter":
        return Loaded(filters=(document,), ours=ours, errors=tuple(errors))
    if document.kind == "job":
        return Loaded(jobs=(document,), ours=ours, errors=tuple(errors))
    rule, found = read_rule(document)
    return Loaded(rules=(rule,) if rule and not errors else (), ours=ours, errors=(*errors, *found))


_KEYS = ("title", "id", "name", "taxonomy", "related", "status", "description", "license", "author", "references", "date", "modified",
         "logsource", "detection", "correlation", "job", "filter", "fields", "falsepositives", "level", "tags", "scope", "custom")


def _unknown_keys(document: Document) -> Iterator[ContentError]:
    """Sigma lets a rule have keys of its own; a misspelt one would be lost without a word, so ours stand under `custom`."""
    for key in document.data:
        if key not in _KEYS:
            yield document.error(f"unknown key {key!r}", str(key), hint=did_you_mean(str(key), _KEYS, "our own keys stand under custom"))


def _with_id(document: Document) -> Document:
    """A rule of others may lack an id; hits need one, and the same in every run."""
    if document.data.get("id"):
        return document
    named = uuid.uuid5(uuid.NAMESPACE_URL, f"{document.path.name} {document.data.get('title')}")
    return document.changed(document.data | {"id": str(named)}, document.lines)


# --- a rule from a document ---------------------------------------------------------------------------------------------------

_KEY_OF_ERROR = {"SigmaLevelError": "level", "SigmaStatusError": "status", "SigmaIdentifierError": "id", "SigmaTagError": "tags",
                 "SigmaDateError": "date", "SigmaModifiedError": "modified", "SigmaTitleError": "title", "SigmaNameError": "name",
                 "SigmaLogsourceError": "logsource", "SigmaReferencesError": "references", "SigmaAuthorError": "author",
                 "SigmaFalsePositivesError": "falsepositives", "SigmaDescriptionError": "description", "SigmaRelatedError": "related"}
_HINTS = {"level": "informational, low, medium, high or critical", "status": "experimental, test or stable", "date": "yyyy-mm-dd",
          "id": "a UUID: python -c 'import uuid; print(uuid.uuid4())'", "tags": "a list such as [attack.t1685]",
          "detection": "a detection holds selections and a `condition`", "logsource": "such as {product: vmware, service: esxi}"}


# pySigma lets errors of Python through on values of a wrong shape
_REFUSALS = (SigmaError, TypeError, ValueError, AttributeError, LookupError)


def read_rule(document: Document) -> tuple[Rule | None, list[ContentError]]:
    """A rule from its document, or what is wrong with it."""
    errors = list(_detection_errors(document))
    custom, found = read_custom(document)
    errors += found
    try:
        sigma = SigmaRule.from_dict(document.data, collect_errors=True)
    except _REFUSALS as error:
        return None, errors or [document.error(f"not a Sigma rule: {error}", hint=SPECIFICATION)]
    located = bool(errors)  # what pySigma says of the detection is then known already, and with its line
    for refusal in sigma.errors:
        key = _KEY_OF_ERROR.get(type(refusal).__name__, "detection")
        if key != "detection" or not located:
            errors.append(document.error(str(refusal), key, hint=_HINTS.get(key, SPECIFICATION)))
    if errors:
        return None, errors
    return _carry(sigma, custom, document), []


def _carry(sigma: SigmaRule, custom: Custom, document: Document) -> Rule:
    source = sigma.logsource
    logsource = {k: v for k, v in (("product", source.product), ("service", source.service), ("category", source.category)) if v}
    logsource = logsource if document.logsource is None else dict(document.logsource)
    date = sigma.date.date() if isinstance(sigma.date, dt.datetime) else sigma.date
    return Rule(
        id=str(sigma.id or ""), title=sigma.title, level=str(sigma.level or "").lower(), status=str(sigma.status or "").lower(),
        name=sigma.name or "", description=sigma.description or "", author=sigma.author or "", date=date, logsource=logsource,
        tags=tuple(str(tag) for tag in sigma.tags), falsepositives=tuple(map(str, sigma.falsepositives)),
        references=tuple(map(str, sigma.references)), custom=custom, document=document, sigma=sigma)


def _detection_errors(document: Document) -> Iterator[ContentError]:
    """What pySigma refuses in the selections, one error per key, with its line (pySigma stops at the first and names none)."""
    detection = document.data.get("detection")
    if not isinstance(detection, dict):
        yield document.error("`detection` must be a mapping of selections and a condition", "detection", hint=_HINTS["detection"])
        return
    for name, selection in detection.items():
        if name != "condition":
            yield from _selection_errors(document, selection, ("detection", name))


def _selection_errors(document: Document, selection: Any, keys: KeyPath) -> Iterator[ContentError]:
    if isinstance(selection, list) and any(isinstance(item, dict | list) for item in selection):
        for number, item in enumerate(selection):
            yield from _selection_errors(document, item, (*keys, number))
        return
    pieces = [({key: value}, (*keys, key)) for key, value in selection.items()] if isinstance(selection, dict) else []
    for piece, place in pieces or [(selection, keys)]:
        if refusal := _refusal(piece):
            yield document.error(f"{place[-1]}: {refusal}", *place, hint=_modifier_hint(str(place[-1]), piece))


def _refusal(piece: Any) -> Exception | None:
    try:
        SigmaDetection.from_definition(piece)
    except _REFUSALS as error:
        return error
    return None


def _modifier_hint(key: str, piece: Any) -> str:
    name, *modifiers = key.split("|")
    if unknown := [modifier for modifier in modifiers if modifier not in modifier_mapping]:
        return did_you_mean(unknown[0], modifier_mapping, f"modifiers: {', '.join(sorted(modifier_mapping))}")
    for order in permutations(modifiers) if 1 < len(modifiers) < 5 and key in piece else ():
        right = "|".join((name, *order))
        if not _refusal({right: piece[key]}):
            return f"modifiers in another order: {right}"
    return "the modifier does not take a value of this type, or not after the modifiers before it"
