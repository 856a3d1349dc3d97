"""A Sigma rule as a tree of terms.

The condition is taken as pySigma parses it, before it puts the selections in; the selections are walked here. So names of
selections stay in the tree (for explanations), values of one list become one term, and what pySigma 1.5.1 gets wrong silently
(a selector that matches nothing) is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Literal, NoReturn, cast

import polars as pl
from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionItem, ConditionNOT, ConditionOR, ConditionSelector
from sigma.exceptions import SigmaError
from sigma.modifiers import reverse_modifier_mapping
from sigma.rule import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from ..errors import ContentError
from ..schema import BY_NAME, Column
from .load import Rule
from .terms import TEXT_TYPES, Group, Node, Op, Part, Term

KEYWORDS = "event.original"  # values without a field are searched for in the raw text


def compile_rule(rule: Rule) -> Node:
    """The tree of a rule. Raises ContentError with file, line and hint: unknown field, value that the field's type cannot hold,
    condition that cannot be parsed, selector that matches nothing, regex that Rust refuses."""
    conditions = [_condition(rule, index) for index in range(len(rule.sigma.detection.condition))]
    return conditions[0] if len(conditions) == 1 else Group("any", tuple(conditions))


def compile_rules(rules: Iterable[Rule]) -> tuple[dict[str, Node], list[ContentError]]:
    """Trees by rule id, and the errors of the rules that have none."""
    trees: dict[str, Node] = {}
    errors = []
    for rule in rules:
        try:
            trees[rule.id] = compile_rule(rule)
        except ContentError as error:
            errors.append(error)
    return trees, errors


# --- condition ----------------------------------------------------------------------------------------------------------------


def parse_condition(rule: Rule, index: int) -> ConditionItem:
    """A condition of a rule as pySigma parses it, selections still by name. Raises ContentError if it cannot be parsed."""
    try:
        return cast(ConditionItem, rule.sigma.detection.parsed_condition[index].parse(postprocess=False))
    except (SigmaError, TypeError) as error:
        raise rule.document.error(f"condition cannot be parsed: {error}", "detection", "condition",
                                  hint="words: and, or, not, 1 of x_*, all of x_*, them") from None


def selected(rule: Rule, selector: ConditionSelector) -> list[str]:
    """The names of the selections that `1 of x_*` means. Raises ContentError if there are none."""
    names = [str(reference.identifier) for reference in selector.resolve_referenced_detections(rule.sigma.detection)]
    if not names:
        raise rule.document.error(f"`{selector.args[0]} of {selector.pattern}` matches no selection", "detection", "condition",
                                  hint=f"selections: {', '.join(rule.sigma.detection.detections)}")
    return names


def _condition(rule: Rule, index: int) -> Node:
    def node(item: Any) -> Node:
        match item:
            case ConditionIdentifier():
                return _named(rule, item.identifier)
            case ConditionSelector():
                names = tuple(_named(rule, name) for name in selected(rule, item))
                return Group(_kind(item.cond_class), names, label=f"{item.args[0]} of {item.pattern}")
            case ConditionNOT():
                return Group("not", (node(item.args[0]),))
            case ConditionAND() | ConditionOR():
                return Group(_kind(type(item)), tuple(node(part) for part in item.args))
        raise rule.document.error(f"condition has an unknown part {type(item).__name__}", "detection", "condition")

    return node(parse_condition(rule, index))


def _kind(linking: type[ConditionItem] | None) -> Literal["all", "any"]:
    return "all" if linking is ConditionAND else "any"


def _named(rule: Rule, name: str) -> Group:
    detection = rule.sigma.detection.detections.get(name)
    if detection is None:
        near = get_close_matches(name, rule.sigma.detection.detections, 1)
        raise rule.document.error(f"condition names {name!r}, which is no selection", "detection", "condition",
                                  hint=f"did you mean {near[0]}?" if near else None)
    return _detection(rule, name, detection, label=name)


# --- selections -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a value stands in a rule: enough to name the line of an error."""

    rule: Rule
    selection: str
    item: SigmaDetectionItem

    @property
    def key(self) -> str:
        return "|".join([self.item.field or "", *(reverse_modifier_mapping[m.__name__] for m in self.item.modifiers)])

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        inside = [keys for keys in self.rule.document.lines if keys[:2] == ("detection", self.selection)]
        exact = [keys for keys in inside if keys[-1] == self.key]
        near = exact or [keys for keys in inside if str(keys[-1]).split("|")[0] == self.item.field] or [("detection", self.selection)]
        raise self.rule.document.error(f"{self.key or self.selection}: {message}", *near[0], hint=hint)


def _detection(rule: Rule, name: str, detection: SigmaDetection, label: str = "") -> Group:
    return Group(_kind(detection.item_linking), tuple(
        _item(_Place(rule, name, part)) if isinstance(part, SigmaDetectionItem) else _detection(rule, name, part)
        for part in detection.detection_items), label)


def _item(place: _Place) -> Node:
    """One `field|modifiers: values`."""
    item = place.item
    if not item.value:
        place.fail("has no values", "write null to ask for a missing field")
    column = _column(place, item.field or KEYWORDS)
    every = [_terms(place, column, value) for value in item.value]
    if item.value_linking is ConditionAND and len(every) > 1:
        node: Node = Group("all", tuple(_any(found) for found in every))
    else:
        node = _any([term for found in every for term in found])
    return Group("not", (node,)) if item.negated else node


def _any(found: list[Term]) -> Node:
    """Any of some terms; those that ask the same of the same field become one term with all their values."""
    alike: dict[object, list[Term]] = {}
    for term in found:
        alike.setdefault((term.op, term.cased, term.part, term.values if term.op.endswith("_field") else ()), []).append(term)
    merged = tuple(
        replace(same[0], values=tuple(sorted({value for term in same for value in term.values}, key=str)),
                written=tuple(text for term in same for text in term.written))
        for same in alike.values())
    return merged[0] if len(merged) == 1 else Group("any", merged)


def _column(place: _Place, name: str) -> Column:
    if name not in BY_NAME:
        near = get_close_matches(name, BY_NAME, 1)
        place.fail(f"unknown field {name!r}", f"did you mean {near[0]}?" if near else "fields are listed in pipeline/schema.py")
    return BY_NAME[name]


# --- values -------------------------------------------------------------------------------------------------------------------


def _terms(place: _Place, column: Column, value: SigmaType) -> list[Term]:
    """The terms of one value, any of which suffices (several only where a modifier expanded the value)."""
    if isinstance(value, SigmaExpansion):
        return [term for inner in value.values for term in _terms(place, column, inner)]
    if place.item.field is None and not isinstance(value, SigmaString | SigmaNumber | SigmaRegularExpression):
        place.fail("a value without a field must be text")
    for kind, build in _BUILDERS.items():
        if isinstance(value, kind):
            return [build(place, column, value)]
    place.fail(f"values of this kind are not supported: {type(value).__name__}")


def _string(place: _Place, column: Column, value: SigmaString) -> Term:
    """Text with wildcards: the cheapest test that says the same."""
    if any(isinstance(part, Placeholder) for part in value.s):
        place.fail(f"placeholder in {str(value)!r} has no value", "write the values out")
    star = SpecialChars.WILDCARD_MULTI
    cased = isinstance(value, SigmaCasedString)
    parts = [part if cased or not isinstance(part, str) else part.lower() for part in value.s]
    open_start, open_end = parts[:1] == [star], parts[-1:] == [star]
    if place.item.field is None:
        open_start = open_end = True
    core = [part for part in parts[parts[:1] == [star]:len(parts) - (parts[-1:] == [star])]]
    if not core and open_start:
        return Term(column.name, "exists", written=("*",))
    _require(place, column, TEXT_TYPES, f"text {str(value)!r}", "write the value without quotes")
    if len(core) > 1 or isinstance((core or [""])[0], SpecialChars):
        body = "".join(pl.escape_regex(p) if isinstance(p, str) else ".*" if p is star else "." for p in core)
        regex = f"(?s){'' if open_start else '^'}{body}{'' if open_end else '$'}"
        return Term(column.name, "like", (regex,), cased, written=(str(value),))
    op: Op = "contains" if open_start and open_end else "startswith" if open_end else "endswith" if open_start else "equals"
    text = str(core[0]) if core else ""
    written = "".join(part for part in value.s if isinstance(part, str))
    return Term(column.name, op, (_address(text) if column.type == "ip" and op == "equals" else text,), cased, written=(written,))


def _address(text: str) -> str:
    """An address as events have it: 2001:DB8:0::1 is 2001:db8::1."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _number(place: _Place, column: Column, value: SigmaNumber) -> Term:
    if isinstance(value, SigmaTimestampPart):
        return Term(column.name, "equals", (value.number,), part=_part(place, column, value), written=(str(value),))
    if column.type in TEXT_TYPES:
        return _string(place, column, SigmaString.from_str(str(value)))
    _require(place, column, ("long", "double"), f"number {value}")
    return Term(column.name, "equals", (value.number,), written=(str(value),))


def _bool(place: _Place, column: Column, value: SigmaBool) -> Term:
    if column.type in TEXT_TYPES:
        return _string(place, column, SigmaString.from_str(str(value).lower()))
    _require(place, column, ("boolean",), f"{str(value).lower()}")
    return Term(column.name, "equals", (value.boolean,), written=(str(value).lower(),))


def _regex(place: _Place, column: Column, value: SigmaRegularExpression) -> Term:
    _require(place, column, TEXT_TYPES, "a regex")
    regex = value.escape(escape_char="", escape_escape_char=False)
    try:
        pl.Series([""]).str.contains(regex)
    except pl.exceptions.ComputeError as error:
        place.fail(f"regex {regex!r} is refused: {str(error).splitlines()[-1]}", "regexes are Rust's: no look-around, no back-references")
    return Term(column.name, "regex", (regex,), cased=True, written=(regex,))


def _cidr(place: _Place, column: Column, value: SigmaCIDRExpression) -> Term:
    _require(place, column, TEXT_TYPES, "a network")
    return Term(column.name, "cidr", (str(value.network),), written=(value.cidr,))


def _compare(place: _Place, column: Column, value: SigmaCompareExpression) -> Term:
    op = _COMPARE.get(value.op) or place.fail(f"comparison {value.op.name} is not supported")
    number = value.number
    if isinstance(number, SigmaTimestampPart):
        return Term(column.name, op, (number.number,), part=_part(place, column, number), written=(str(number),))
    _require(place, column, ("long", "double", "keyword"), "a numeric comparison")
    return Term(column.name, op, (number.number,), written=(str(number),))


def _part(place: _Place, column: Column, value: SigmaTimestampPart) -> Part:
    _require(place, column, ("date",), "a part of a date")
    return cast(Part, value.timestamp_part.name.lower())


def _field(place: _Place, column: Column, value: SigmaFieldReference) -> Term:
    other = _column(place, value.field)
    op: Op = "contains_field" if value.starts_with and value.ends_with else "startswith_field" if value.starts_with \
        else "endswith_field" if value.ends_with else "equals_field"
    text = column.type in TEXT_TYPES
    if text != (other.type in TEXT_TYPES) or (not text and column.type != other.type):
        place.fail(f"{column.name} is {column.type}, {other.name} is {other.type}: they cannot be compared")
    if op != "equals_field" and (not text or column.many or other.many):
        place.fail("only single texts can be compared by contains, startswith or endswith")
    return Term(column.name, op, (other.name,), written=(other.name,))


def _exists(place: _Place, column: Column, value: SigmaExists) -> Term:
    return Term(column.name, "exists" if value.exists else "missing")


def _require(place: _Place, column: Column, types: tuple[str, ...], what: str, hint: str | None = None) -> None:
    if column.type not in types:
        place.fail(f"{what} on a field of type {column.type}", hint)


_COMPARE: dict[CompareOperators, Op] = {
    CompareOperators.GT: "gt", CompareOperators.GTE: "gte", CompareOperators.LT: "lt", CompareOperators.LTE: "lte"}
_BUILDERS: dict[type[SigmaType], Callable[[_Place, Column, Any], Term]] = {
    SigmaString: _string,
    SigmaNumber: _number,
    SigmaBool: _bool,
    SigmaRegularExpression: _regex,
    SigmaCIDRExpression: _cidr,
    SigmaCompareExpression: _compare,
    SigmaFieldReference: _field,
    SigmaExists: _exists,
    SigmaNull: lambda place, column, value: Term(column.name, "missing", written=("null",)),
}
