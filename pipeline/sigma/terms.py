"""What one term of a rule means: a test of one field, as a Polars expression over the flat frame.

A compiled rule is a tree of two things: `Term` (a leaf) and `Group` (all, any or not). Both are frozen, so a term is its own
canonical key: two rules that ask the same question share one boolean column.

Logic is two-valued: a term over a missing value is false, never null, so `not` over a missing field is true. Text compares
without case unless the term is `cased` or a regex. A field with many values passes when any of its values does; an empty list
counts as missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from ipaddress import ip_network
from operator import or_
from typing import Any, Literal

import polars as pl

from ..schema import BY_NAME, Column
from .networks import in_network

Value = str | int | float | bool
Op = Literal[
    "equals", "contains", "startswith", "endswith", "like", "regex", "cidr", "exists", "missing", "gt", "gte", "lt", "lte",
    "equals_field", "contains_field", "startswith_field", "endswith_field"]
Part = Literal["minute", "hour", "day", "week", "month", "year"]

TEXT_TYPES = ("keyword", "text", "ip")
_TEXT_TESTS: tuple[Op, ...] = ("contains", "startswith", "endswith", "like")
_UNCASED: tuple[Op, ...] = ("equals", *_TEXT_TESTS)


@dataclass(frozen=True)
class Term:
    """One test of one field. It passes when the value passes for ANY of `values`.

    `values` are lower-cased text for uncased tests, regexes for `like` (over lower-cased text) and `regex`, networks for `cidr`,
    one other field's name for the `_field` tests. `part` compares a part of a date. `written` are the values as the rule has them.
    """

    field: str
    op: Op
    values: tuple[Value, ...] = ()
    cased: bool = False
    part: Part | None = None
    written: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    @property
    def column(self) -> Column:
        """The field's row of the schema."""
        return BY_NAME[self.field]

    @property
    def lowers(self) -> bool:
        """Whether the term reads the lower-cased column."""
        return self.column.type in TEXT_TYPES and (self.op.endswith("_field") or (self.op in _UNCASED and not self.cased))


@dataclass(frozen=True)
class Group:
    """All, any or none of some nodes; `label` is the selection's name or the selector (`1 of x_*`)."""

    kind: Literal["all", "any", "not"]
    parts: tuple[Node, ...]
    label: str = dataclasses.field(default="", compare=False)


Node = Term | Group


def terms(node: Node) -> Iterator[Term]:
    """Every term of a tree, depth first."""
    if isinstance(node, Term):
        yield node
    else:
        for part in node.parts:
            yield from terms(part)


def combine(node: Node, leaf: Callable[[Term], pl.Expr]) -> pl.Expr:
    """The tree as one boolean expression; `leaf` gives the expression of a term (or the column that holds it)."""
    if isinstance(node, Term):
        return leaf(node)
    parts = [combine(part, leaf) for part in node.parts]
    if node.kind == "not":
        return ~parts[0]
    return pl.all_horizontal(parts) if node.kind == "all" else pl.any_horizontal(parts)


def matches(node: Node, events: pl.DataFrame) -> pl.Series:
    """The plain meaning of a rule: one boolean per event. The detector must give the same (a property test proves it)."""
    every = set(terms(node))
    return prepare(events, every).select(combine(node, expression).alias("matches")).to_series()


# --- the columns that terms read -------------------------------------------------------------------------------------------

_DTYPES: dict[str, Any] = {"long": pl.Int64(), "double": pl.Float64(), "boolean": pl.Boolean(), "date": pl.Datetime("us", "UTC")}


def dtype(column: Column) -> pl.DataType:
    """The Polars type of a schema column in the flat frame."""
    leaf = _DTYPES.get(column.type, pl.String())
    return pl.List(leaf) if column.many else leaf


def lowered(name: str) -> str:
    """Name of the column that holds a field's lower-cased text."""
    return f"lower({name})"


def lower_expression(name: str) -> pl.Expr:
    """A field's lower-cased text (each element, where it has many)."""
    source = pl.col(name)
    lower = source.list.eval(pl.element().str.to_lowercase()) if BY_NAME[name].many else source.str.to_lowercase()
    return lower.alias(lowered(name))


def prepare(events: pl.DataFrame, wanted: set[Term]) -> pl.DataFrame:
    """The columns that these terms read, typed as the schema says, null where absent, each lower-cased at most once."""
    raw = {name for term in wanted for name in fields(term)}
    lower = {name for term in wanted if term.lowers for name in fields(term) if BY_NAME[name].type in TEXT_TYPES}
    typed = events.with_columns(_typed(name, events.schema.get(name)) for name in raw if events.schema.get(name) != dtype(BY_NAME[name]))
    complete = typed.with_columns(lower_expression(name) for name in lower if lowered(name) not in events.columns)
    return complete.select(*sorted(raw), *(lowered(name) for name in sorted(lower)))


def fields(term: Term) -> list[str]:
    """The fields a term reads: its own and the one it is compared with."""
    return [term.field, str(term.values[0])] if term.op.endswith("_field") else [term.field]


def _typed(name: str, present: pl.DataType | None) -> pl.Expr:
    wanted = dtype(BY_NAME[name])
    if present is None:
        return pl.lit(None, dtype=wanted).alias(name)
    if BY_NAME[name].many and not isinstance(present, pl.List):
        return pl.when(pl.col(name).is_not_null()).then(pl.concat_list(pl.col(name))).cast(wanted, strict=False).alias(name)
    return pl.col(name).cast(wanted, strict=False)


# --- a term as an expression ------------------------------------------------------------------------------------------------


def expression(term: Term) -> pl.Expr:
    """A term as a boolean expression over a prepared frame; never null."""
    source = pl.col(lowered(term.field) if term.lowers else term.field)
    if term.op in ("exists", "missing"):
        absent = source.is_null() | (source.list.len() == 0) if term.column.many else source.is_null()
        return absent if term.op == "missing" else ~absent
    if term.op.endswith("_field"):
        return _against_field(term, source).fill_null(False)
    if term.column.many:
        return source.list.eval(_test(term, pl.element()).fill_null(False)).list.any().fill_null(False)
    return _test(term, source).fill_null(False)


def _test(term: Term, x: pl.Expr) -> pl.Expr:
    if term.part:
        x = getattr(x.dt, term.part)()
    if term.op in _COMPARE:
        number = _number(x) if term.column.type in TEXT_TYPES else x
        return _any(_COMPARE[term.op](number, value) for value in term.values)
    if term.op in _TEXT_TESTS and term.column.type not in TEXT_TYPES:
        x = x.cast(pl.String)
    return _TESTS[term.op](x, list(term.values))


def _number(x: pl.Expr) -> pl.Expr:
    """The number that a text is. Polars takes `nan` and `inf` for numbers too, and NaN for the largest."""
    number = x.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _equals(x: pl.Expr, values: list[Any]) -> pl.Expr:
    return x == values[0] if len(values) == 1 else x.is_in(values)


def _contains(x: pl.Expr, values: list[Any]) -> pl.Expr:
    return x.str.contains(values[0], literal=True) if len(values) == 1 else x.str.contains_any(values)


def _regex(x: pl.Expr, values: list[Any]) -> pl.Expr:
    return x.str.contains(values[0] if len(values) == 1 else "|".join(f"(?:{value})" for value in values))


def _any(parts: Iterator[pl.Expr]) -> pl.Expr:
    return reduce(or_, parts)


_TESTS: dict[str, Callable[[pl.Expr, list[Any]], pl.Expr]] = {
    "equals": _equals,
    "contains": _contains,
    "startswith": lambda x, values: _any(x.str.starts_with(value) for value in values),
    "endswith": lambda x, values: _any(x.str.ends_with(value) for value in values),
    "like": _regex,
    "regex": _regex,
    "cidr": lambda x, values: _any(in_network(x, ip_network(value)) for value in values),
}

_COMPARE: dict[str, Callable[[pl.Expr, Value], pl.Expr]] = {
    "gt": lambda x, value: x > value,
    "gte": lambda x, value: x >= value,
    "lt": lambda x, value: x < value,
    "lte": lambda x, value: x <= value,
}


def _against_field(term: Term, left: pl.Expr) -> pl.Expr:
    """`a|fieldref: b`. Lists compare by a common element; the compiler refuses the other tests on lists."""
    name = str(term.values[0])
    other, text = BY_NAME[name], term.lowers and BY_NAME[name].type in TEXT_TYPES
    right = pl.col(lowered(name) if text else name)
    if term.op == "equals_field":
        if term.column.many and other.many:
            return left.list.set_intersection(right).list.drop_nulls().list.len() > 0
        if term.column.many or other.many:
            many, one = (left, right) if term.column.many else (right, left)
            return many.list.contains(one) & one.is_not_null()
        return left == right
    if term.op == "contains_field":
        return left.str.contains(right, literal=True)
    return left.str.starts_with(right) if term.op == "startswith_field" else left.str.ends_with(right)
