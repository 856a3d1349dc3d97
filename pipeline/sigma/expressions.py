"""Conditions in words over the rules of a temporal correlation: `a and not b`, `2 of them`, `any of login_*` (Sigma proposal 198)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations, product
from typing import Any

import numpy as np

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


@dataclass(frozen=True)
class Expression:
    """A node: `op` is rule, not, or at_least (`and` is at_least all of its parts, `or` at_least one)."""

    op: str
    rule: str = ""
    number: int = 0
    parts: tuple[Expression, ...] = ()

    def holds(self, present: Mapping[str, Flags]) -> Flags:
        """Where the expression is true, given where each rule (by id) is present."""
        if self.op == "rule":
            return present[self.rule]
        inner = [part.holds(present) for part in self.parts]
        if self.op == "not":
            return ~inner[0]
        counted: Flags = np.sum(inner, axis=0) >= self.number
        return counted

    def alternatives(self) -> list[tuple[frozenset[str], frozenset[str]]]:
        """Pairs of rules (by id) that must be present and rules that must be absent, each of which makes it true; the least of them."""
        found = self._ways(negated=False)
        return [way for way in found if not any(other != way and other[0] <= way[0] and other[1] <= way[1] for other in found)]

    def _ways(self, *, negated: bool) -> set[tuple[frozenset[str], frozenset[str]]]:
        if self.op == "rule":
            one, none = frozenset({self.rule}), frozenset[str]()
            return {(none, one) if negated else (one, none)}
        if self.op == "not":
            return self.parts[0]._ways(negated=not negated)
        least = len(self.parts) - self.number + 1 if negated else self.number
        found = set()
        for parts in combinations(self.parts, least):
            for choice in product(*(part._ways(negated=negated) for part in parts)):
                present, absent = (frozenset[str]().union(*(pair[side] for pair in choice)) for side in (0, 1))
                if not present & absent:
                    found.add((present, absent))
        return found

    def rules(self, *, positive: bool, negated: bool = False) -> set[str]:
        """Ids of the rules that must be present (`positive`) or absent for it to be true."""
        if self.op == "rule":
            return {self.rule} if positive != negated else set()
        return set().union(*(part.rules(positive=positive, negated=negated != (self.op == "not")) for part in self.parts))


def parse_expression(text: str, names: Mapping[str, str], rules: Sequence[str]) -> Expression:
    """Parse a condition; `names` gives ids by name or id, `rules` are the ids that `them` means. Raises ValueError on bad syntax."""
    tokens = _TOKEN.findall(text)
    expression, rest = _or(tokens, names, rules)
    if rest:
        raise ValueError(f"condition: {rest[0]!r} is one word too many")
    return expression


def words(text: str) -> list[str]:
    """The names of rules in a condition that has no list of them, each once."""
    found = [token for token in _TOKEN.findall(text) if token not in "()" and token.lower() not in ("and", "or", "not")]
    return list(dict.fromkeys(found))


_Step = tuple[Expression, list[str]]
_Names = Mapping[str, str]


def _or(tokens: list[str], names: _Names, rules: Sequence[str]) -> _Step:
    return _chain("or", _and, tokens, names, rules)


def _and(tokens: list[str], names: _Names, rules: Sequence[str]) -> _Step:
    return _chain("and", _not, tokens, names, rules)


def _chain(word: str, inner: Any, tokens: list[str], names: _Names, rules: Sequence[str]) -> _Step:
    part, tokens = inner(tokens, names, rules)
    parts = [part]
    while tokens and tokens[0].lower() == word:
        part, tokens = inner(tokens[1:], names, rules)
        parts.append(part)
    if len(parts) == 1:
        return parts[0], tokens
    return Expression("at_least", number=len(parts) if word == "and" else 1, parts=tuple(parts)), tokens


def _not(tokens: list[str], names: _Names, rules: Sequence[str]) -> _Step:
    if tokens and tokens[0].lower() == "not":
        part, tokens = _not(tokens[1:], names, rules)
        return Expression("not", parts=(part,)), tokens
    return _one(tokens, names, rules)


def _one(tokens: list[str], names: _Names, rules: Sequence[str]) -> _Step:
    if not tokens:
        raise ValueError("condition ends where a rule is expected")
    first, *rest = tokens
    if first == "(":
        part, rest = _or(rest, names, rules)
        if not rest or rest[0] != ")":
            raise ValueError("condition: a bracket is not closed")
        return part, rest[1:]
    if len(rest) >= 2 and rest[0].lower() == "of":
        return _of(first, rest[1], names, rules), rest[2:]
    if first not in names:
        raise ValueError(f"condition: {first!r} is none of the rules")
    return Expression("rule", rule=names[first]), rest


def _of(number: str, pattern: str, names: _Names, rules: Sequence[str]) -> Expression:
    """`2 of them`, `all of login_*`, `any of them`."""
    chosen = list(rules) if pattern.lower() == "them" else sorted({rule for name, rule in names.items() if fnmatchcase(name, pattern)})
    if not chosen:
        raise ValueError(f"condition: no rule is called {pattern!r}")
    least = {"all": len(chosen), "any": 1}.get(number.lower()) or (int(number) if number.isdecimal() else 0)
    if not 1 <= least <= len(chosen):
        raise ValueError(f"condition: {number!r} of {len(chosen)} rules makes no sense")
    return Expression("at_least", number=least, parts=tuple(Expression("rule", rule=rule) for rule in chosen))
