"""Sigma filters: what rules shall leave out, written beside them (Sigma Filters Specification 2.1.0).

A filter becomes part of the rules it names before they are compiled: `(rule) and (filter)`, its selections under names that a rule
cannot have. That is done on documents, so every rule gets objects of its own; pySigma 1.5.1 shares one filter's among rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sigma.rule import SigmaRule

from ..errors import ContentError, did_you_mean
from .compile import check_rule
from .documents import Document
from .load import Rule, read_rule
from .rewrite import NOT_SELECTIONS, narrowed, renamed

SPECIFICATION = "see https://sigmahq.io/docs/meta/filters.html"
ANY = "any"
_OWN_PATTERN = re.compile(r"\b(1|any|all)\s+of\s+(_[\w*-]*)")


@dataclass(frozen=True)
class Filter:
    """A filter: the rules it names (None: every rule within its log source) and its body, read as a rule."""

    document: Document
    references: tuple[str, ...] | None
    body: Rule

    @property
    def path(self) -> Path:
        return self.document.path

    def covers(self, rule: Rule) -> bool:
        """Whether the log source of the rule, as written, is within that of the filter."""
        return _logsource(self.body).items() <= _logsource(rule).items()


def read_filters(documents: Iterable[Document]) -> tuple[tuple[Filter, ...], tuple[ContentError, ...]]:
    """Filters, and what is wrong with the others."""
    read = [_read(document) for document in documents]
    return tuple(found for found, _ in read if found), tuple(error for _, errors in read for error in errors)


def _read(document: Document) -> tuple[Filter | None, list[ContentError]]:
    body = document.data.get("filter")
    if not isinstance(body, dict):
        return None, [document.error("`filter` must be a mapping of rules, selections and a condition", "filter", hint=SPECIFICATION)]
    references, errors = body.get("rules"), list[ContentError]()
    if not isinstance(references, str | list):
        errors.append(document.error("`rules` is missing", "filter", "rules", hint="a list of names or ids of rules, or any"))
    if not isinstance(body.get("condition"), str):
        errors.append(document.error("`condition` must be one text", "filter", "condition", hint="such as: not selection"))
    rule, found = read_rule(_as_rule(document, body))
    errors += found or (check_rule(rule) if rule else [])
    if errors or rule is None:
        return None, errors
    every = references == [] or (isinstance(references, str) and references.lower() == ANY)
    named = (references,) if isinstance(references, str) else tuple(map(str, references or ()))
    return Filter(document, None if every else named, rule), []


def _as_rule(document: Document, body: Mapping[str, Any]) -> Document:
    """The filter as a rule that fires at what the filter lets through; lines and title stay."""
    data = {key: value for key, value in document.data.items() if key != "filter"}
    detection = {name: value for name, value in body.items() if name != "rules"}
    lines = {(("detection", *keys[1:]) if keys[:1] == ("filter",) else keys): line for keys, line in document.lines.items()}
    return document.changed(data | {"detection": detection}, lines)


# --- put into rules -------------------------------------------------------------------------------------------------------------


def apply_filters(rules: Iterable[Rule], filters: Iterable[Filter], others: Iterable[str] = ()) -> tuple[
        tuple[Rule, ...], tuple[ContentError, ...]]:
    """The rules with their filters in them, and what the filters name wrongly. `others` are names that are no single-event rules."""
    rules, filters, others = tuple(rules), tuple(filters), set(others)
    named = {key: rule for rule in rules for key in (rule.id, rule.name, rule.path.stem) if key}
    errors: list[ContentError] = []
    wanted: dict[str, list[Filter]] = {}
    for each in filters:
        for rule in rules if each.references is None else ():
            if each.covers(rule):
                wanted.setdefault(rule.id, []).append(each)
        for number, reference in enumerate(each.references or ()):
            problem = _misnamed(each, named.get(reference), reference, named, others)
            if problem:
                message, hint = problem
                errors.append(each.document.error(message, "filter", "rules", number, hint=hint))
            else:
                wanted.setdefault(named[reference].id, []).append(each)
    return tuple(_filtered(rule, wanted[rule.id]) if rule.id in wanted else rule for rule in rules), tuple(errors)


def _misnamed(each: Filter, rule: Rule | None, reference: str, named: Iterable[str], others: set[str]) -> tuple[str, str] | None:
    """What is wrong with a reference, and what to do."""
    if reference in others:
        return f"names {reference!r}, a correlation", "filter the rules that it refers to"
    if rule is None:
        return f"names {reference!r}, which is no rule", did_you_mean(reference, named, "the name or id of a rule")
    if not each.covers(rule):
        return (f"its log source {_logsource(each.body)} is not that of {reference!r}, {_logsource(rule)}",
                "give the filter the rule's log source, or a wider one")
    return None


def _logsource(rule: Rule) -> dict[str, str]:
    """The log source as written, whatever a field map made of it."""
    source = rule.sigma.logsource
    return {key: value for key in ("product", "service", "category") if (value := getattr(source, key))}


def _filtered(rule: Rule, filters: Iterable[Filter]) -> Rule:
    document = _spelt_out(rule.document)
    for number, each in enumerate(filters):
        prefix = f"_filter{number}_"  # `them` and `x_*` of a rule do not mean names that begin with _
        body = each.body.document.data["detection"]
        selections = {prefix + name: value for name, value in body.items() if name not in NOT_SELECTIONS}
        document = narrowed(document, selections, renamed(body["condition"], prefix))
    return replace(rule, sigma=SigmaRule.from_dict(document.data), filters=tuple(each.document for each in filters))


def _spelt_out(document: Document) -> Document:
    """The rule with the names that its `1 of _x*` mean, which would mean the filter's too."""
    detection = document.data["detection"]

    def names(found: re.Match[str]) -> str:
        meant = [name for name in detection if name != "condition" and fnmatchcase(name, found[2])]
        return f"({(' and ' if found[1] == 'all' else ' or ').join(meant)})"

    written = detection["condition"]
    conditions = [_OWN_PATTERN.sub(names, each) for each in (written if isinstance(written, list) else [written])]
    condition = conditions if isinstance(written, list) else conditions[0]
    return document if condition == written else document.changed(
        document.data | {"detection": detection | {"condition": condition}}, document.lines)
