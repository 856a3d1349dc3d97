"""What is wrong with a rule's selections and condition: names, types, modifiers, and what pySigma 1.5.1 gets wrong silently."""

from __future__ import annotations

from collections.abc import Iterator

from sigma.conditions import ConditionIdentifier, ConditionItem, ConditionSelector
from sigma.modifiers import reverse_modifier_mapping
from sigma.rule import SigmaDetectionItem
from sigma.types import SigmaBool, SigmaNull, SigmaNumber, SigmaString

from ..errors import ContentError
from ..schema import BY_NAME
from .compile import check_rule, items, parse_condition, selected
from .documents import KeyPath
from .known import Known
from .load import Rule
from .terms import TEXT_TYPES

_ENCODINGS = {"wide", "utf16", "utf16le", "utf16be", "windash", "base64", "base64offset"}
_ENDS = {"contains", "startswith", "endswith"}
_KEEP_CASE = {"all", "neq", "contains", "startswith", "endswith"}


def compiles(rule: Rule) -> list[ContentError]:
    """Why a rule does not compile, or would not in another tool; a misread condition would only add confusing findings."""
    return list(_identifiers(rule)) or check_rule(rule)


def lint_values(rule: Rule, known: Known) -> Iterator[ContentError]:
    """Values of a wrong type, values that pySigma 1.5.1 accepts and gets wrong, fields that the rule's log source never has.

    repairs.py puts right what pySigma gets wrong, but here, not in the tools of those who take our rules.
    """
    possible = known.fields_of(rule.logsource)
    for name, detection in rule.sigma.detection.detections.items():
        for item in items(detection):
            for message, hint in (*_value_faults(item), *_type_faults(item), *_never_set(item, possible)):
                yield rule.document.error(f"{item.field or name}: {message}", *_line_of(rule, name, item), hint=hint)


def _line_of(rule: Rule, selection: str, item: SigmaDetectionItem) -> KeyPath:
    inside = (keys for keys in rule.document.lines if keys[:2] == ("detection", selection))
    return next((keys for keys in inside if str(keys[-1]).split("|")[0] == (item.field or "")), ("detection", selection))


def _identifiers(rule: Rule) -> Iterator[ContentError]:
    """pySigma 1.5.1 reads a selection named `notsel` as `not sel`, without a word (repairs.py helps nobody who takes our rules)."""
    for name in rule.sigma.detection.detections:
        operator = next((word for word in ("and", "or", "not") if name.lower().startswith(word)), None)
        if operator:
            yield rule.document.error(f"selection {name!r} starts with {operator!r}", "detection", name,
                                      hint="conditions would misread it: rename it, for example to filter_x")


def lint_unused(rule: Rule) -> Iterator[ContentError]:
    """Selections that the condition does not use."""
    used = {name for index in range(len(rule.sigma.detection.condition)) for name in _references(rule, parse_condition(rule, index))}
    for name in rule.sigma.detection.detections:
        if name not in used:
            yield rule.document.error(f"selection {name!r} is never used", "detection", name, hint="use it in the condition or remove it")


def _references(rule: Rule, item: object) -> Iterator[str]:
    if isinstance(item, ConditionSelector):
        yield from selected(rule, item)
    elif isinstance(item, ConditionIdentifier):
        yield item.identifier
    elif isinstance(item, ConditionItem):
        for part in item.args:
            yield from _references(rule, part)


def _value_faults(item: SigmaDetectionItem) -> Iterator[tuple[str, str]]:
    originals, modifiers = item.original_value or [], [reverse_modifier_mapping[modifier.__name__] for modifier in item.modifiers]
    texts = [part for value in originals if isinstance(value, SigmaString) for part in value.s if isinstance(part, str)]
    if len(originals) > 1 and any(isinstance(value, SigmaNull) for value in originals):
        yield "null inside a list of values", "make it a selection of its own and join the two by `or`"
    if "utf16" in modifiers:
        yield "the modifier utf16 encodes wrongly (pySigma 1.5.1 adds a UTF-8 byte order mark)", "use utf16le (wide)"
    if "base64offset" in modifiers and not all(map(str.isascii, texts)):
        yield "base64offset of text beyond ASCII is cut wrongly (pySigma 1.5.1)", "write the encoded text with contains"
    if {"base64", "base64offset"} & set(modifiers) and any("*" in t or "?" in t for t in texts):
        yield "base64 of an escaped wildcard encodes the backslash too (pySigma 1.5.1)", "write the encoded text with contains"
    base64 = next((number for number, name in enumerate(modifiers) if name in ("base64", "base64offset")), len(modifiers))
    if late := [name for name in modifiers[base64 + 1:] if name in _ENCODINGS]:
        yield f"{late[0]} after {modifiers[base64]} is applied to the encoded text", f"write |{late[0]} before |{modifiers[base64]}"
    if len(twice := [name for name in modifiers if name in _ENDS]) > 1:
        yield f"{' and '.join(twice)} together mean contains", "keep the one that is meant"
    if "cased" in modifiers and not set(modifiers[modifiers.index("cased") + 1:]) <= _KEEP_CASE:
        yield "a modifier after `cased` loses the case", "write cased last"


def _type_faults(item: SigmaDetectionItem) -> Iterator[tuple[str, str]]:
    """A number or boolean against text: it works, as text, but who reads the rule takes the field for a number."""
    textual = item.field in BY_NAME and BY_NAME[item.field].type in TEXT_TYPES
    if textual and not {"gt", "gte", "lt", "lte", "exists"} & {reverse_modifier_mapping[m.__name__] for m in item.modifiers}:
        for value in item.original_value or []:
            if isinstance(value, SigmaNumber | SigmaBool):
                kind = "number" if isinstance(value, SigmaNumber) else "truth value"
                yield f"the {kind} {value} on a field of type {BY_NAME[str(item.field)].type}", f"write it as text: '{str(value).lower()}'"


def _never_set(item: SigmaDetectionItem, possible: frozenset[str]) -> Iterator[tuple[str, str]]:
    if possible and item.field in BY_NAME and item.field not in possible:
        yield "no parser of this log source ever sets it", "look at the samples' expected events for what it sets"
