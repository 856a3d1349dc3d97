"""Sigma correlation rules as data (correlation_reader.py makes them of documents).

Source: Sigma Correlation Rules Specification 2.1.0, and its proposal 198 (2.2.0) for conditions such as `a and not b`. What is ours stands
under `custom:` (metadata.py): `known_from` names rules whose events make a group known, so that the absence of others can be seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from .expressions import Expression
from .heads import Head

CorrelationType = Literal["event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile",
                          "value_median"]
TYPES: tuple[CorrelationType, ...] = get_args(CorrelationType)
TEMPORAL = ("temporal", "temporal_ordered")
NUMERIC = ("value_sum", "value_avg", "value_percentile", "value_median")
OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")


@dataclass(frozen=True)
class Threshold:
    """`condition: {gte: 5, lt: 10, field: [user.name], percentile: 95}`: every bound must hold."""

    bounds: Mapping[str, float]
    fields: tuple[str, ...] = ()
    percentile: float = 50

    @property
    def only_upper(self) -> bool:
        """Whether nothing at all satisfies it: then only a window that was watched to its end may be judged."""
        return all(operator in ("lt", "lte") or (operator, bound) == ("eq", 0) for operator, bound in self.bounds.items())


@dataclass(frozen=True, kw_only=True)
class Correlation(Head):
    """A correlation rule. `rules` are ids, in the order written; `aliases`: name -> id of a rule -> field.

    `carries` are fields beyond its group that correlations which refer to it read; None if none refers to it.
    """

    type: CorrelationType
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    timespan: dt.timedelta
    condition: Threshold | Expression
    aliases: Mapping[str, Mapping[str, str]]
    known_from: tuple[str, ...]
    generate: bool
    carries: tuple[str, ...] | None = None

    @property
    def span(self) -> int:
        """The timespan in microseconds."""
        return self.timespan // dt.timedelta(microseconds=1)

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Ids of every rule whose hits it reads, each once."""
        return tuple(dict.fromkeys((*self.rules, *self.known_from)))

    @cached_property
    def threshold(self) -> Threshold:
        """The condition as a threshold. Raises TypeError for an expression."""
        if not isinstance(self.condition, Threshold):
            raise TypeError("the condition is an expression")
        return self.condition

    @property
    def waits(self) -> bool:
        """Whether its windows can be judged only when they are over: what would break the condition may still come."""
        return self.condition.only_upper if isinstance(self.condition, Threshold) else bool(self.condition.rules(positive=False))

    def field_of(self, name: str, rule: str) -> str:
        """The event field that `name` (a field or an alias) stands for in the hits of a rule."""
        return self.aliases.get(name, {}).get(rule, name)

    def fields_of(self, rule: str) -> set[str]:
        """Every field that it reads in the hits of a rule."""
        values = self.condition.fields if isinstance(self.condition, Threshold) else ()
        return {self.field_of(name, rule) for name in (*self.group_by, *values, *(self.carries or ()))}

    @property
    def fields(self) -> set[str]:
        """Every field it reads."""
        return {name for rule in self.refers_to for name in self.fields_of(rule)}


def silenced(correlations: Iterable[Correlation]) -> set[str]:
    """Ids of the rules that raise no alert of their own: some correlation refers to them and none of those says `generate: true`."""
    correlations = list(correlations)
    spoken = {rule for c in correlations if c.generate for rule in c.refers_to}
    return {rule for c in correlations for rule in c.rules} - spoken


def closure(correlations: Iterable[Correlation], wanted: Correlation) -> tuple[Correlation, ...]:
    """A correlation and those it is built upon, in the order given."""
    correlations = list(correlations)
    needed = {wanted.id}
    for correlation in reversed(correlations):  # each stands after those it refers to
        if correlation.id in needed:
            needed.update(correlation.refers_to)
    return tuple(c for c in correlations if c.id in needed)
