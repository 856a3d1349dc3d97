"""Single-event Sigma detections the obvious way: one event after another, straight from the specification's words.

Slow on purpose, and independent of the engine and of pySigma. A detection is what YAML makes of it, an event a flat dict of texts,
numbers, booleans, dates and lists. What the specification leaves open is told in tests/conformance/README.md.
"""

from __future__ import annotations

import operator
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any

Event = Mapping[str, Any]
STAR, ONE = object(), object()
Pattern = list[Any]  # single characters, STAR and ONE
DASHES = "-/\u2013\u2014\u2015"
FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
PARTS = {"minute": lambda t: t.minute, "hour": lambda t: t.hour, "day": lambda t: t.day, "week": lambda t: t.isocalendar().week,
         "month": lambda t: t.month, "year": lambda t: t.year}
ENCODINGS = {"wide": ("", "utf-16-le"), "utf16le": ("", "utf-16-le"), "utf16be": ("", "utf-16-be"), "utf16": ("\xff\xfe", "utf-16-le")}
WRAPS: dict[str, tuple[Pattern, Pattern]] = {"contains": ([STAR], [STAR]), "startswith": ([], [STAR]), "endswith": ([STAR], [])}


def matches(detection: Mapping[str, Any], event: Event) -> bool:
    """Whether a rule with this `detection` finds the event."""
    named = {name: selection for name, selection in detection.items() if name != "condition"}
    conditions = detection["condition"]
    return any(_condition(text, named, event) for text in ([conditions] if isinstance(conditions, str) else conditions))


def _condition(text: str, named: Mapping[str, Any], event: Event) -> bool:
    """Python's `not`, `and`, `or` and brackets bind as Sigma's do."""
    def of(found: re.Match[str]) -> str:
        pattern = re.compile(".*".join(map(re.escape, found[2].split("*"))))
        names = [name for name in named if not name.startswith("_") and (found[2] == "them" or pattern.fullmatch(name))]
        return str((all if found[1] == "all" else any)(_selection(named[name], event) for name in names))

    def name(found: re.Match[str]) -> str:
        return found[0] if found[0] in ("and", "or", "not", "True", "False") else str(_selection(named[found[0]], event))

    return bool(eval("(" + re.sub(r"[^\s()]+", name, re.sub(r"\b(1|any|all) of ([^\s()]+)", of, text)) + ")"))


def _selection(selection: Any, event: Event) -> bool:
    """A map is true if all of its items are, a list if any of its members is; a text or number without a field is a keyword."""
    if isinstance(selection, Mapping):
        return all(_item(key, values, event) for key, values in selection.items())
    if isinstance(selection, list):
        return any(_selection(each, event) for each in selection)
    return _item("", selection, event)


def _item(key: str, values: Any, event: Event) -> bool:
    field, *modifiers = key.split("|")
    results = [_value(field, modifiers, value, event) for value in (values if isinstance(values, list) else [values])]
    return (all(results) if "all" in modifiers else any(results)) != ("neq" in modifiers)


def _value(field: str, modifiers: list[str], value: Any, event: Event) -> bool:
    """A comparison is true if it is true for any element of the field; a field that is missing has none."""
    found, cased = _elements(event, field or "event.original"), "cased" in modifiers
    if value is None:
        return not found
    if "exists" in modifiers:
        return (field in event and event[field] != []) == bool(value)
    if "re" in modifiers:
        flags = sum(FLAGS[name] for name in modifiers if name in FLAGS)
        return any(re.search(value, _text(each), flags) for each in found)
    if "cidr" in modifiers:
        return any(_inside(_text(each), value) for each in found)
    found = [PARTS[name](each) for each in found for name in modifiers if name in PARTS] or found
    if name := next((name for name in modifiers if name in COMPARE), ""):
        return any(COMPARE[name](number, value) for number in map(_number, found) if number is not None)
    if "fieldref" in modifiers:
        plain = [list(_text(other)) for other in _elements(event, value)]
        patterns = [pattern for other in plain for pattern in _patterns(other, [name for name in modifiers if name in WRAPS])]
    else:
        patterns = list(_patterns(_parsed(_text(value)), modifiers if field else [*modifiers, "contains"]))
    return any(_like(pattern, _text(each), cased) for pattern in patterns for each in found)


def _elements(event: Event, field: str) -> list[Any]:
    value = event.get(field)
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else float(value) if re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", value) else None


def _inside(text: str, network: str) -> bool:
    try:
        return ip_address(text) in ip_network(network)
    except ValueError:
        return False


def _parsed(text: str) -> Pattern:
    """A backslash makes a wildcard or another backslash plain; before anything else it is plain itself."""
    pieces = re.findall(r"\\[\\*?]|.", text, re.DOTALL)
    return [STAR if piece == "*" else ONE if piece == "?" else piece[-1] for piece in pieces]


def _like(pattern: Pattern, text: str, cased: bool) -> bool:
    same = str if cased else str.lower
    regex = "".join(".*" if part is STAR else "." if part is ONE else re.escape(same(part)) for part in pattern)
    return re.fullmatch(regex, same(text), re.DOTALL) is not None


def _patterns(pattern: Pattern, modifiers: list[str], encoded: bool = False) -> Iterator[Pattern]:
    """What the modifiers make of a value, one after another; some make several of one."""
    if not modifiers:
        yield pattern
        return
    for made in _applied(pattern, modifiers[0], encoded):
        yield from _patterns(made, modifiers[1:], encoded or modifiers[0] in ENCODINGS)


def _applied(pattern: Pattern, name: str, encoded: bool) -> list[Pattern]:
    """`encoded`: each character stands for a byte."""
    if name in ENCODINGS:
        mark, encoding = ENCODINGS[name]
        coded = ([part] if part in (STAR, ONE) else part.encode(encoding).decode("latin-1") for part in pattern)
        return [[*mark, *(byte for part in coded for byte in part)]]
    if name in ("base64", "base64offset"):
        data = "".join(pattern).encode("latin-1" if encoded else "utf-8")
        codes = [b64encode(b"\0" * shift + data).decode() for shift in range(3)]
        if name == "base64":
            return [list(codes[0])]
        # only the characters that depend on nothing that stands around
        return [list(code[-(-8 * shift // 6):8 * (shift + len(data)) // 6]) for shift, code in enumerate(codes)]
    if name == "windash":
        return [list(choice) for choice in product(*(DASHES if _is_flag(pattern, at) else [part] for at, part in enumerate(pattern)))]
    before, after = WRAPS.get(name, ([], []))
    return [[*before, *pattern, *after]]


def _is_flag(pattern: Pattern, at: int) -> bool:
    """A dash that begins a word: before it stands no letter, behind it one."""
    word = [isinstance(part, str) and (part.isalnum() or part == "_") for part in pattern]
    return pattern[at] in (*DASHES,) and not (at and word[at - 1]) and word[at + 1:at + 2] == [True]
