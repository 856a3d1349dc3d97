"""One value of a rule as terms: what pySigma made of it and the type of the field decide the test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn, cast

import polars as pl
from sigma.modifiers import reverse_modifier_mapping
from sigma.rule import SigmaDetectionItem
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

from ..errors import did_you_mean
from ..schema import BY_NAME, Column
from .load import Rule
from .regexes import rust
from .terms import TEXT_TYPES, Op, Part, Term

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
KEYWORDS = "event.original"  # values without a field are searched for in the raw text


@dataclass(frozen=True)
class Place:
    """Where a value stands in a rule: enough to name the line of an error."""

    rule: Rule
    selection: str
    item: SigmaDetectionItem

    @property
    def key(self) -> str:
        """Field and modifiers as the rule writes them: `user.name|contains`."""
        return "|".join([self.item.field or "", *(reverse_modifier_mapping[m.__name__] for m in self.item.modifiers)])

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise a ContentError at the line of this key, or the nearest that is known."""
        inside = [keys for keys in self.rule.document.lines if keys[:2] == ("detection", self.selection)]
        exact = [keys for keys in inside if keys[-1] == self.key]
        near = exact or [keys for keys in inside if str(keys[-1]).split("|")[0] == self.item.field] or [("detection", self.selection)]
        raise self.rule.document.error(f"{self.key or self.selection}: {message}", *near[0], hint=hint)


def column_of(place: Place, name: str) -> Column:
    """The schema column of a field; fails with the nearest name if there is none."""
    if name not in BY_NAME:
        hint = did_you_mean(name, BY_NAME, "fields are listed in pipeline/schema.py")
        place.fail(f"unknown field {name!r}", f"{hint}; --field-map names others" if place.rule.document.foreign else hint)
    return BY_NAME[name]


def terms_of(place: Place, column: Column, value: SigmaType) -> list[Term]:
    """The terms of one value, any of which suffices (several only where a modifier expanded the value)."""
    if isinstance(value, SigmaExpansion):
        return [term for inner in value.values for term in terms_of(place, column, inner)]
    if place.item.field is None and not isinstance(value, SigmaString | SigmaNumber | SigmaRegularExpression):
        place.fail("a value without a field must be text", "name a field, or write the text to search the raw record for")
    for kind, build in _BUILDERS.items():
        if isinstance(value, kind):
            return [build(place, column, value)]
    place.fail(f"values of this kind are not supported: {type(value).__name__}", "write plain values")


def _string(place: Place, column: Column, value: SigmaString) -> Term:
    """Text with wildcards: the cheapest test that says the same."""
    if any(isinstance(part, Placeholder) for part in value.s):  # only that of a list without values is left (lists.py): nothing is in it
        return Term(column.name, "equals", written=(f"{_placeholders(value)} (an empty list)",))
    star = SpecialChars.WILDCARD_MULTI
    cased = isinstance(value, SigmaCasedString)
    parts = [part if cased or not isinstance(part, str) else part.lower() for part in value.s]
    open_start, open_end = parts[:1] == [star], parts[-1:] == [star]
    if place.item.field is None:
        open_start = open_end = True
    core = parts[parts[:1] == [star]:len(parts) - (parts[-1:] == [star])]
    if not core and open_start:
        return Term(column.name, "exists", written=("*",))
    if column.type not in TEXT_TYPES and all(isinstance(part, str) for part in parts):
        return _scalar(place, column, str(value))
    _require(place, column, (*TEXT_TYPES, "long", "double", "boolean"), f"text {str(value)!r}")
    if len(core) > 1 or isinstance((core or [""])[0], SpecialChars):
        body = "".join(pl.escape_regex(p) if isinstance(p, str) else ".*" if p is star else "." for p in core)
        regex = f"(?s){'' if open_start else '^'}{body}{'' if open_end else '$'}"
        return Term(column.name, "like", (regex,), cased, written=(str(value),))
    op: Op = "contains" if open_start and open_end else "startswith" if open_end else "endswith" if open_start else "equals"
    text = str(core[0]) if core else ""
    written = "".join(part for part in value.s if isinstance(part, str))
    return Term(column.name, op, (_address(text) if column.type == "ip" and op == "equals" else text,), cased, written=(written,))


def _placeholders(value: SigmaString) -> str:
    return "".join(f"%{part.name}%" if isinstance(part, Placeholder) else part if isinstance(part, str) else "*" for part in value.s)


def _scalar(place: Place, column: Column, text: str) -> Term:
    """Text on a number or a boolean is the value that reads so; other text could never match, so it is refused."""
    value: bool | float
    if column.type == "boolean" and text.lower() in ("true", "false"):
        value = text.lower() == "true"
    elif column.type in ("long", "double") and _NUMBER.fullmatch(text):
        value = float(text) if "." in text else int(text)
    else:
        _refuse(place, column, f"text {text!r}")
    return Term(column.name, "equals", (value,), written=(text,))


def _address(text: str) -> str:
    """An address as events have it: 2001:DB8:0::1 is 2001:db8::1."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _number(place: Place, column: Column, value: SigmaNumber) -> Term:
    if isinstance(value, SigmaTimestampPart):
        return Term(column.name, "equals", (value.number,), part=_part(place, column, value), written=(str(value),))
    if column.type in TEXT_TYPES:
        return _string(place, column, SigmaString.from_str(str(value)))
    _require(place, column, ("long", "double"), f"number {value}")
    return Term(column.name, "equals", (value.number,), written=(str(value),))


def _bool(place: Place, column: Column, value: SigmaBool) -> Term:
    if column.type in TEXT_TYPES:
        return _string(place, column, SigmaString.from_str(str(value).lower()))
    _require(place, column, ("boolean",), f"{str(value).lower()}")
    return Term(column.name, "equals", (value.boolean,), written=(str(value).lower(),))


def _regex(place: Place, column: Column, value: SigmaRegularExpression) -> Term:
    _require(place, column, TEXT_TYPES, "a regex")
    written = value.escape(escape_char="", escape_escape_char=False)
    regex = rust(written)
    try:
        pl.Series([""]).str.contains(regex)
    except pl.exceptions.ComputeError as error:
        reason = next((line for line in str(error).splitlines() if line.startswith("error:")), "error: not a regex").removeprefix("error: ")
        place.fail(f"regex {written!r} is refused: {reason}", "regexes are Rust's: no look-around, no back-references")
    return Term(column.name, "regex", (regex,), cased=True, written=(written,))


def _cidr(place: Place, column: Column, value: SigmaCIDRExpression) -> Term:
    _require(place, column, TEXT_TYPES, "a network")
    return Term(column.name, "cidr", (str(value.network),), written=(value.cidr,))


def _compare(place: Place, column: Column, value: SigmaCompareExpression) -> Term:
    op = _COMPARE.get(value.op) or place.fail(f"comparison {value.op.name} is not supported", "use gt, gte, lt, lte or neq")
    number = value.number
    if isinstance(number, SigmaTimestampPart):
        return Term(column.name, op, (number.number,), part=_part(place, column, number), written=(str(number),))
    _require(place, column, ("long", "double", "keyword"), "a numeric comparison")
    return Term(column.name, op, (number.number,), written=(str(number),))


def _part(place: Place, column: Column, value: SigmaTimestampPart) -> Part:
    _require(place, column, ("date",), "a part of a date")
    return cast(Part, value.timestamp_part.name.lower())


def _field(place: Place, column: Column, value: SigmaFieldReference) -> Term:
    other = column_of(place, value.field)
    op: Op = "contains_field" if value.starts_with and value.ends_with else "startswith_field" if value.starts_with \
        else "endswith_field" if value.ends_with else "equals_field"
    text = column.type in TEXT_TYPES
    if text != (other.type in TEXT_TYPES) or (not text and column.type != other.type):
        place.fail(f"{column.name} is {column.type}, {other.name} is {other.type}: they cannot be compared",
                   "compare fields of one type")
    if op != "equals_field" and (not text or column.many or other.many):
        place.fail("only single texts can be compared by contains, startswith or endswith",
                   "fields with many values can only be compared by a common value")
    return Term(column.name, op, (other.name,), written=(other.name,))


def _exists(place: Place, column: Column, value: SigmaExists) -> Term:
    return Term(column.name, "exists" if value.exists else "missing")


def _require(place: Place, column: Column, types: tuple[str, ...], what: str) -> None:
    if column.type not in types:
        _refuse(place, column, what)


def _refuse(place: Place, column: Column, what: str) -> NoReturn:
    place.fail(f"{what} on a field of type {column.type}", _HINTS.get(column.type, "compare it with text"))


_HINTS = {"long": "write a number, without quotes", "double": "write a number, without quotes", "boolean": "write true or false",
          "date": "ask for null, |exists, or a part of it such as |hour"}
_COMPARE: dict[CompareOperators, Op] = {
    CompareOperators.GT: "gt", CompareOperators.GTE: "gte", CompareOperators.LT: "lt", CompareOperators.LTE: "lte"}
_BUILDERS: dict[type[SigmaType], Callable[[Place, Column, Any], Term]] = {
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
