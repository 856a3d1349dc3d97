"""Reads Sigma rules and their cases from a folder of detections. Collects every error instead of stopping at the first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from sigma.exceptions import SigmaError
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetection, SigmaRule

from .. import content
from ..errors import ContentError
from ..schema import BY_NAME
from . import repairs  # noqa: F401 (registers itself with pySigma)
from .documents import SPECIFICATION, Document, KeyPath, read_documents

Threat = Literal[
    "vm-escape", "vm-hopping", "hyperjacking", "hardening", "east-west", "vswitch", "sprawl", "stale", "noisy-neighbour",
    "management-plane", "side-channel", "physical-separation", "ransomware-chain"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(_Strict):
    """Where a string that the rule compares is known from."""

    kind: Literal["documented", "captured", "assumed"]
    source: str
    value: str


class Custom(_Strict):
    """Our metadata, under `custom:` in the Sigma file."""

    threat: Threat | None = None
    evidence: tuple[Evidence, ...] = ()
    blind_spots: str = ""
    response: tuple[str, ...] = ()
    attack_v18: tuple[str, ...] = ()
    explain: str = ""
    group_by: tuple[str, ...] = ()  # fields whose hits become one alert; default host, user and VM
    known_from: tuple[str, ...] = ()  # correlations: rules whose events make a group known, so that the absence of others shows
    at_least: dict[str, int] = {}  # field -> how many different values of it the hits of an alert must name; fewer raise none

    @field_validator("group_by", "at_least")
    @classmethod
    def _known(cls, value: tuple[str, ...] | dict[str, int]) -> tuple[str, ...] | dict[str, int]:
        if unknown := [name for name in value if name not in BY_NAME]:
            raise ValueError(f"unknown fields {', '.join(unknown)}")
        return value


class Log(_Strict):
    """Raw lines of one source, and the parser that reads them."""

    parser: str
    raw: str


class Case(_Strict):
    """Raw lines as they come, the parser that reads them, and whether the rule fires on any of the events.

    Lines of several sources are given as `logs` in place of `parser` and `raw`. `until`: the time up to which the sources were watched,
    for correlations that need to see that something did not happen; default: the last event.
    """

    name: str
    why: str = ""
    parser: str = ""
    raw: str = ""
    logs: tuple[Log, ...] = ()
    fires: bool
    expect: dict[str, Any] = {}
    until: dt.datetime | None = None

    @model_validator(mode="after")
    def _has_lines(self) -> Case:
        if bool(self.logs) == bool(self.parser and self.raw):
            raise ValueError("a case has either parser and raw, or logs (a list of {parser, raw})")
        return self

    @property
    def sources(self) -> tuple[Log, ...]:
        return self.logs or (Log(parser=self.parser, raw=self.raw),)


class Cases(_Strict):
    """A `<rule>.cases.yaml`."""

    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Rule:
    """A single-event rule: what we carry of it, and the pySigma object that the exports need."""

    id: str
    title: str
    level: str
    status: str
    name: str
    description: str
    author: str
    date: dt.date | None
    logsource: Mapping[str, str]
    tags: tuple[str, ...]
    falsepositives: tuple[str, ...]
    references: tuple[str, ...]
    custom: Custom
    document: Document = field(repr=False, compare=False)
    sigma: SigmaRule = field(repr=False, compare=False)

    @property
    def path(self) -> Path:
        return self.document.path

    @property
    def cases_path(self) -> Path:
        return self.path.with_suffix(".cases.yaml")


@dataclass(frozen=True)
class Loaded:
    """What a folder holds: rules, the documents that are correlations (read by pipeline/correlate.py), and all errors."""

    rules: tuple[Rule, ...]
    correlations: tuple[Document, ...]
    errors: tuple[ContentError, ...]


def load_rules(folder: Path | None = None) -> Loaded:
    """Every `**/*.yml` of a folder (default: detections/). Errors are collected, in file order."""
    rules: list[Rule] = []
    correlations: list[Document] = []
    errors: list[ContentError] = []
    for path in sorted((folder or content.folder("detections")).rglob("*.yml")):
        found = load_file(path)
        rules += found.rules
        correlations += found.correlations
        errors += found.errors
    return Loaded(tuple(rules), tuple(correlations), tuple(errors))


def load_file(path: Path) -> Loaded:
    """The rules of one file."""
    try:
        return load_text(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        return Loaded((), (), (ContentError(f"cannot be read: {error}", path),))


def load_text(text: str, path: Path) -> Loaded:
    """The rules of a text; `path` names it in errors."""
    rules, correlations, errors = [], [], []
    try:
        for document in read_documents(text, path):
            if "correlation" in document.data:
                correlations.append(document)
                continue
            rule, found = _rule(document)
            errors += found
            rules += [rule] if rule else []
    except ContentError as error:
        errors.append(error)
    return Loaded(tuple(rules), tuple(correlations), tuple(errors))


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a file; none if there is no file. Raises ContentError if the file is wrong."""
    return content.read_model(path, Cases).cases if path.exists() else ()


# --- a rule from a document ---------------------------------------------------------------------------------------------------

_KEY_OF_ERROR = {"SigmaLevelError": "level", "SigmaStatusError": "status", "SigmaIdentifierError": "id", "SigmaTagError": "tags",
                 "SigmaDateError": "date", "SigmaModifiedError": "modified", "SigmaTitleError": "title", "SigmaNameError": "name",
                 "SigmaLogsourceError": "logsource", "SigmaReferencesError": "references", "SigmaAuthorError": "author",
                 "SigmaFalsePositivesError": "falsepositives", "SigmaDescriptionError": "description", "SigmaRelatedError": "related"}
_HINTS = {"level": "informational, low, medium, high or critical", "status": "experimental, test or stable", "date": "yyyy-mm-dd",
          "id": "a UUID: python -c 'import uuid; print(uuid.uuid4())'", "tags": "a list such as [attack.t1685]",
          "detection": "a detection holds selections and a `condition`", "logsource": "such as {product: vmware, service: esxi}"}
_CUSTOM = ("custom holds threat, evidence (a list of {kind: documented|captured|assumed, source, value}), blind_spots, response, "
           "attack_v18, explain, group_by, at_least, known_from")


# pySigma lets errors of Python through on values of a wrong shape
_REFUSALS = (SigmaError, TypeError, ValueError, AttributeError, LookupError)


def _rule(document: Document) -> tuple[Rule | None, list[ContentError]]:
    errors = list(_detection_errors(document))
    custom = Custom()
    try:
        custom = Custom.model_validate(document.data.get("custom") or {})
    except ValidationError as error:
        errors += [document.error(f"custom.{'.'.join(map(str, e['loc']))}: {e['msg']}", "custom", *e["loc"], hint=_CUSTOM)
                   for e in error.errors()]
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
        try:
            SigmaDetection.from_definition(piece)
        except _REFUSALS as error:
            yield document.error(f"{place[-1]}: {error}", *place, hint=_modifier_hint(str(place[-1])))


def _modifier_hint(key: str) -> str:
    unknown = [modifier for modifier in key.split("|")[1:] if modifier not in modifier_mapping]
    near = get_close_matches(unknown[0], modifier_mapping, 1) if unknown else []
    return f"did you mean |{near[0]}?" if near else f"modifiers: {', '.join(sorted(modifier_mapping))}" if unknown else \
        "the modifier does not take a value of this type, or not after the modifiers before it"
