"""A Sigma rule as a tree of terms.

The condition is taken as pySigma parses it, before it puts the selections in; the selections are walked here. So names of
selections stay in the tree (for explanations), values of one list become one term, and what pySigma 1.5.1 gets wrong silently
(a selector that matches nothing) is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, cast

from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionItem, ConditionNOT, ConditionOR, ConditionSelector
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetection, SigmaDetectionItem

from ..errors import ContentError
from .load import Rule
from .terms import Group, Node, Term
from .values import KEYWORDS, Place, column_of, terms_of


def compile_rule(rule: Rule) -> Node:
    """The tree of a rule. Raises ContentError with file, line and hint: unknown field, value that the field's type cannot hold,
    condition that cannot be parsed, selector that matches nothing, regex that Rust refuses."""
    conditions = [_condition(rule, index) for index in range(len(rule.sigma.detection.condition))]
    return conditions[0] if len(conditions) == 1 else Group("any", tuple(conditions))


def check_rule(rule: Rule) -> list[ContentError]:
    """Every error of a rule, where compile_rule stops at the first: one per `field: values`, then the condition's."""
    errors = []
    for name, detection in rule.sigma.detection.detections.items():
        for item in items(detection):
            try:
                _item(Place(rule, name, item))
            except ContentError as error:
                errors.append(error)
    if not errors:
        try:
            compile_rule(rule)
        except ContentError as error:
            errors.append(error)
    return errors


def usable(rules: Iterable[Rule]) -> tuple[tuple[Rule, ...], list[ContentError]]:
    """The rules that compile, and the errors of those that do not: one wrong rule does not stop the others."""
    checked = [(rule, check_rule(rule)) for rule in rules]
    return tuple(rule for rule, errors in checked if not errors), [error for _, errors in checked for error in errors]


def items(detection: SigmaDetection) -> Iterator[SigmaDetectionItem]:
    """Every `field: values` of a selection, however nested."""
    for part in detection.detection_items:
        if isinstance(part, SigmaDetectionItem):
            yield part
        else:
            yield from items(part)


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
        """The tree of a part of the condition as pySigma parsed it. Raises ContentError for a part it has no word for."""
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
        raise rule.document.error(f"condition names {name!r}, which is no selection", "detection", "condition",
                                  hint=f"selections: {', '.join(rule.sigma.detection.detections)}")
    return _detection(rule, name, detection, label=name)


# --- selections -------------------------------------------------------------------------------------------------------------


def _detection(rule: Rule, name: str, detection: SigmaDetection, label: str = "") -> Group:
    parts = tuple(_item(Place(rule, name, part)) if isinstance(part, SigmaDetectionItem) else _detection(rule, name, part)
                  for part in detection.detection_items)
    if len(parts) == 1 and isinstance(parts[0], Group) and parts[0].kind != "not":
        return replace(parts[0], label=label)
    return Group(_kind(detection.item_linking), parts, label)


def _item(place: Place) -> Node:
    """One `field|modifiers: values`."""
    item = place.item
    if not item.value:
        place.fail("has no values", "write null to ask for a missing field")
    column = column_of(place, item.field or KEYWORDS)
    every = [terms_of(place, column, value) for value in item.value]
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
