"""Correlation rules from their documents: read, checked, resolved to the rules they refer to, and put in order."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..errors import ContentError, did_you_mean
from ..schema import BY_NAME
from .correlations import NUMERIC, OPERATORS, TEMPORAL, TYPES, Correlation, CorrelationType, Threshold
from .documents import Document
from .expressions import Expression, parse_expression, words
from .heads import head, head_errors
from .load import Rule
from .metadata import read_custom

SPECIFICATION = "see https://sigmahq.io/docs/meta/correlations.html"
_KEYS = {"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}
# Months and years, which the specification does not have, as pySigma counts them.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "M": 2629746, "y": 31556952}


def read_correlations(documents: Iterable[Document], rules: Iterable[Rule]) -> tuple[tuple[Correlation, ...], tuple[ContentError, ...]]:
    """Correlations in the order in which they must run (each after those it refers to), and what is wrong with the others."""
    rules = list(rules)
    known = {key: rule.id for rule in rules for key in (rule.id, rule.name) if key}
    read, errors = dict[str, Correlation](), list[ContentError]()
    documents = list(documents)
    for document in documents:
        for key in (document.data.get("id"), document.data.get("name")):
            if key:
                known[str(key)] = str(document.data.get("id"))
    groups = {str(document.data.get("id")): _names(document) for document in documents}
    for document in documents:
        correlation, found = _read(document, known, groups)
        errors += found
        if correlation:
            read[correlation.id] = correlation
    errors += _drop_dangling(read, {rule.id for rule in rules})
    ordered, cycles = _in_order(read)
    return _with_carried(_with_evidence(ordered, rules)), (*errors, *cycles)


def _with_evidence(correlations: Iterable[Correlation], rules: Iterable[Rule]) -> tuple[Correlation, ...]:
    """A correlation compares no strings of its own: it is as well proven as what it refers to."""
    proven = {rule.id: rule.custom.evidence for rule in rules}
    found = []
    for correlation in correlations:
        evidence = tuple(dict.fromkeys((*correlation.custom.evidence, *(e for rule in correlation.refers_to for e in proven[rule]))))
        proven[correlation.id] = evidence
        found.append(replace(correlation, custom=correlation.custom.model_copy(update={"evidence": evidence})))
    return tuple(found)


def _with_carried(correlations: Sequence[Correlation]) -> tuple[Correlation, ...]:
    """With the fields that each must carry for those that refer to it, which may in turn carry them for others."""
    needed: dict[str, set[str]] = {}
    found = []
    for correlation in reversed(correlations):
        if correlation.id in needed:
            correlation = replace(correlation, carries=tuple(sorted(needed[correlation.id] - set(correlation.group_by))))
        for rule in correlation.refers_to:
            needed.setdefault(rule, set()).update(correlation.fields_of(rule))
        found.append(correlation)
    return tuple(reversed(found))


# --- a correlation from a document --------------------------------------------------------------------------------------------


def _names(document: Document) -> set[str]:
    """The fields, or names for fields, by which a correlation groups: those that its alerts have."""
    body = document.data.get("correlation")
    given = body.get("group-by", []) if isinstance(body, dict) else []
    return {given} if isinstance(given, str) else {name for name in given if isinstance(name, str)} if isinstance(given, list) else set()


def _read(document: Document, known: Mapping[str, str], groups: Mapping[str, set[str]]) -> tuple[Correlation | None, list[ContentError]]:
    body = document.data.get("correlation")
    if not isinstance(body, dict):
        return None, [document.error("`correlation` must be a mapping", "correlation", hint=SPECIFICATION)]
    errors = list(head_errors(document, SPECIFICATION))
    unknown = [key for key in body if key not in _KEYS]
    errors += [document.error(f"unknown key {key!r}", "correlation", key, hint=did_you_mean(str(key), _KEYS, ", ".join(sorted(_KEYS))))
               for key in unknown]
    custom, found = read_custom(document)
    errors += found
    kind = body.get("type")
    if kind not in TYPES:
        errors.append(document.error(f"unknown type {kind!r}", "correlation", "type", hint=", ".join(TYPES)))
        return None, errors
    parts = _Parts(document, body, kind, known, groups, errors)
    rules = parts.references(("rules",))
    known_from = tuple(parts.resolve(name, ("custom", "known_from", n)) for n, name in enumerate(custom.known_from))
    group_by, timespan, aliases = parts.group_by(), parts.timespan(), parts.aliases((*rules, *known_from))
    condition = parts.condition(rules)
    parts.check_fields(group_by, condition, aliases, (*rules, *known_from))
    parts.check_absence(condition, known_from)
    if errors or condition is None or timespan is None:
        return None, errors
    return Correlation(
        **head(document), type=kind, rules=rules, group_by=group_by, timespan=timespan, condition=condition,
        aliases=aliases, known_from=known_from, generate=bool(body.get("generate", False)), custom=custom, document=document), []


@dataclass
class _Parts:
    """The keys of `correlation:`, one by one; what is wrong goes to `errors`."""

    document: Document
    body: Mapping[str, Any]
    kind: CorrelationType
    known: Mapping[str, str]
    groups: Mapping[str, set[str]]
    errors: list[ContentError]

    def fail(self, message: str, *keys: str | int, hint: str = SPECIFICATION) -> None:
        self.errors.append(self.document.error(message, *keys, hint=hint))

    def resolve(self, name: Any, keys: Sequence[str | int]) -> str:
        if str(name) not in self.known:
            hint = did_you_mean(str(name), self.known, "the name or id of a rule in detections/")
            self.fail(f"refers to {name!r}, which is no rule", *keys, hint=hint)
        return self.known.get(str(name), "")

    def references(self, keys: Sequence[str]) -> tuple[str, ...]:
        given = self.body.get("rules")
        if given is None and isinstance(self.body.get("condition"), str):
            given = words(self.body["condition"])
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not names:
            self.fail("`rules` must name at least one rule", "correlation", *keys)
            return ()
        return tuple(self.resolve(name, ("correlation", *keys, n)) for n, name in enumerate(names))

    def group_by(self) -> tuple[str, ...]:
        given = self.body.get("group-by", [])
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fail("`group-by` must be a list of fields", "correlation", "group-by")
            return ()
        return tuple(names)

    def timespan(self) -> dt.timedelta | None:
        match = re.fullmatch(r"(\d+)([smhdwMy])", str(self.body.get("timespan", "")))
        if not match or match[1].strip("0") == "":
            self.fail("`timespan` must be a number and a unit", "correlation", "timespan", hint="such as 30s, 5m, 1h, 1d")
            return None
        return dt.timedelta(seconds=int(match[1]) * _UNITS[match[2]])

    def aliases(self, rules: tuple[str, ...]) -> dict[str, dict[str, str]]:
        given = self.body.get("aliases") or {}
        if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
            self.fail("`aliases` must map a name to {rule: field}", "correlation", "aliases")
            return {}
        found: dict[str, dict[str, str]] = {}
        for alias, mapping in given.items():
            for name, target in mapping.items():
                rule = self.resolve(name, ("correlation", "aliases", alias, name))
                if rule and rule not in rules:
                    self.fail(f"alias {alias!r} names {name!r}, which is not among `rules`", "correlation", "aliases", alias, name)
                found.setdefault(str(alias), {})[rule] = str(target)
        return found

    def condition(self, rules: tuple[str, ...]) -> Threshold | Expression | None:
        given = self.body.get("condition")
        if self.kind in TEMPORAL and given is None:
            return Threshold({"gte": len(rules)})
        if isinstance(given, str):
            return self._expression(given, rules)
        if not isinstance(given, dict):
            self.fail("`condition` is missing", "correlation", "condition", hint="such as {gte: 5}")
            return None
        return self._threshold(given)

    def _expression(self, text: str, rules: tuple[str, ...]) -> Expression | None:
        if self.kind not in TEMPORAL:
            self.fail(f"a condition in words is for temporal types, not for {self.kind}", "correlation", "condition")
            return None
        names = self.body.get("rules") or list(dict.fromkeys(r for r in self.known if self.known[r] in rules))
        slots = {str(name): rule for name, rule in zip([names] if isinstance(names, str) else names, rules, strict=False)}
        slots |= {name: rule for name, rule in self.known.items() if rule in rules}
        try:
            return parse_expression(text, slots, rules)
        except ValueError as error:
            self.fail(str(error), "correlation", "condition", hint="rule names with and, or, not, brackets, `2 of them`")
            return None

    def _threshold(self, given: dict[str, Any]) -> Threshold | None:
        before = len(self.errors)
        fields = given.get("field", [])
        fields = [fields] if isinstance(fields, str) else fields
        bounds = {}
        for key, value in given.items():
            if key in OPERATORS:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    self.fail(f"{key} needs a number, not {value!r}", "correlation", "condition", key)
                else:
                    bounds[key] = float(value)
            elif key not in ("field", "percentile"):
                self.fail(f"unknown key {key!r} in condition", "correlation", "condition", key, hint=", ".join((*OPERATORS, "field")))
        if not bounds:
            self.fail("condition has no bound", "correlation", "condition", hint=", ".join(OPERATORS))
        if self.kind.startswith("value_") and not fields:
            self.fail(f"{self.kind} needs `field`", "correlation", "condition")
        if self.kind in NUMERIC and len(fields) > 1:
            self.fail(f"{self.kind} takes one field", "correlation", "condition", "field")
        percentile = given.get("percentile", 50)
        if not isinstance(percentile, int | float) or not 0 <= percentile <= 100:
            self.fail(f"percentile must be between 0 and 100, not {percentile!r}", "correlation", "condition", "percentile")
        if self.kind == "value_percentile" and "percentile" not in given:
            self.fail("value_percentile needs `percentile`", "correlation", "condition")
        return None if len(self.errors) > before else Threshold(bounds, tuple(map(str, fields)), float(percentile))

    def check_fields(self, group_by: tuple[str, ...], condition: Threshold | Expression | None,
                     aliases: Mapping[str, Mapping[str, str]], rules: tuple[str, ...]) -> None:
        values = condition.fields if isinstance(condition, Threshold) else ()
        fields = BY_NAME.keys() | set().union(*(self.groups.get(rule, set()) for rule in rules))
        named: list[tuple[str, tuple[str, ...]]] = [(name, ("group-by",)) for name in group_by if name not in aliases]
        named += [(name, ("condition", "field")) for name in values if name not in aliases]
        named += [(target, ("aliases", alias)) for alias, mapping in aliases.items() for target in mapping.values()]
        for name, keys in named:
            if name not in fields:
                hint = did_you_mean(name, BY_NAME, "deploy/schema.md lists the fields")
                self.fail(f"unknown field {name!r}", "correlation", *keys, hint=hint)
        for alias in aliases.keys() & {*group_by, *values} - fields:
            if any(rule not in aliases[alias] for rule in rules):
                self.fail(f"alias {alias!r} has no field for some of the rules", "correlation", "aliases", alias)

    def check_absence(self, condition: Threshold | Expression | None, known_from: tuple[str, ...]) -> None:
        if isinstance(condition, Expression) and not condition.rules(positive=True) and not known_from:
            self.fail("every rule is under `not`, so nothing tells which groups there are", "correlation", "condition",
                      hint="custom.known_from names rules whose events make a group known")
        absence = condition.only_upper if isinstance(condition, Threshold) else condition and condition.rules(positive=False)
        if known_from and not (absence and (self.kind != "temporal_ordered" or isinstance(condition, Threshold))):
            self.fail("known_from is for conditions that none at all fulfils: lt, lte, eq 0, and words with `not` of `temporal`",
                      "custom", "known_from")


def _drop_dangling(read: dict[str, Correlation], rules: set[str]) -> list[ContentError]:
    """Take out those that refer to a correlation which is refused, and say so."""
    errors = []
    while dangling := [c for c in read.values() if not set(c.refers_to) <= rules | read.keys()]:
        for correlation in dangling:
            errors.append(correlation.document.error("refers to a correlation that is itself in error", "correlation", "rules"))
            del read[correlation.id]
    return errors


def _in_order(read: Mapping[str, Correlation]) -> tuple[tuple[Correlation, ...], list[ContentError]]:
    """Each correlation after those it refers to; one that refers to itself, over whatever way, is an error."""
    done: dict[str, Correlation] = {}
    waiting = dict(read)
    while waiting:
        ready = {key: c for key, c in waiting.items() if not any(rule in waiting for rule in c.refers_to)}
        if not ready:
            names = ", ".join(c.title for c in waiting.values())
            message, hint = f"refers to itself in a circle: {names}", "in the end a correlation stands on rules: take one reference out"
            errors = [c.document.error(message, "correlation", "rules", hint=hint) for c in waiting.values()]
            return tuple(done.values()), errors
        done |= ready
        waiting = {key: c for key, c in waiting.items() if key not in ready}
    return tuple(done.values()), cast("list[ContentError]", [])
