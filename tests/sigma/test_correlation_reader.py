"""What the reader of correlations refuses, each with its message; and what it works out for correlations of correlations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pipeline.errors import ContentError
from pipeline.sigma.correlation_reader import read_correlations
from pipeline.sigma.correlations import Correlation
from pipeline.sigma.documents import read_documents
from pipeline.sigma.expressions import Expression
from pipeline.sigma.metadata import Custom

RULES = [SimpleNamespace(id=f"id-{name}", name=name, custom=Custom()) for name in ("a", "b", "c")]
COUNT = {"type": "event_count", "rules": ["a"], "group-by": ["host.name"], "timespan": "5m", "condition": {"gte": 2}}
NEAR = {"type": "temporal", "rules": ["a", "b"], "group-by": ["host.name"], "timespan": "5m"}


def read(*documents: dict[str, Any]) -> tuple[tuple[Correlation, ...], tuple[ContentError, ...]]:
    named = [{"title": f"C{n}", "id": f"id-{n}", **document} for n, document in enumerate(documents)]
    return read_correlations(list(read_documents(yaml.safe_dump_all(named), Path("c.yml"))), RULES)  # type: ignore[arg-type]


@pytest.mark.parametrize(("body", "known_from", "message"), [
    ({**COUNT, "rules": ["d"]}, [], "refers to 'd', which is no rule"),
    ({**COUNT, "timespan": "5 minutes"}, [], "`timespan` must be a number and a unit"),
    ({**COUNT, "timespan": "0m"}, [], "`timespan` must be a number and a unit"),
    ({**COUNT, "condition": {}}, [], "condition has no bound"),
    ({**COUNT, "condition": {"ge": 2}}, [], "unknown key 'ge' in condition"),
    ({**COUNT, "condition": {"gte": "2"}}, [], "gte needs a number, not '2'"),
    ({**COUNT, "condition": "a and b"}, [], "a condition in words is for temporal types, not for event_count"),
    ({**COUNT, "group-by": ["host.nam"]}, [], "unknown field 'host.nam'"),
    ({**COUNT, "type": "value_count"}, [], "value_count needs `field`"),
    ({**COUNT, "type": "value_percentile", "condition": {"field": "network.bytes", "gt": 1}}, [], "value_percentile needs `percentile`"),
    ({**NEAR, "condition": "a and d"}, [], "condition: 'd' is none of the rules"),
    ({**NEAR, "condition": "a and (b"}, [], "condition: a bracket is not closed"),
    ({**NEAR, "condition": "a b"}, [], "condition: 'b' is one word too many"),
    ({**NEAR, "condition": "3 of them"}, [], "condition: '3' of 2 rules makes no sense"),
    ({**NEAR, "condition": "not (a and b)"}, [], "every rule is under `not`, so nothing tells which groups there are"),
    ({**NEAR, "condition": "a and b"}, ["c"], "known_from is for conditions that none at all fulfils"),
    ({**COUNT}, ["c"], "known_from is for conditions that none at all fulfils"),
    ({**NEAR, "group-by": ["who"], "aliases": {"who": {"a": "user.name"}}}, [], "alias 'who' has no field for some of the rules"),
    ({**NEAR, "aliases": {"who": {"c": "user.name"}}}, [], "alias 'who' names 'c', which is not among `rules`"),
])
def test_what_is_refused(body: dict[str, Any], known_from: list[str], message: str) -> None:
    found, errors = read({"correlation": body, "custom": {"known_from": known_from}})
    assert not found
    assert [error.message for error in errors if message in error.message], errors


def test_circles_are_refused() -> None:
    found, errors = read({"name": "x", "correlation": {**COUNT, "rules": ["y"]}}, {"name": "y", "correlation": {**COUNT, "rules": ["x"]}})
    assert not found
    assert [error.message for error in errors] == [f"rule 'C{n}': refers to itself in a circle: C0, C1" for n in (0, 1)]


def test_what_refers_to_a_refused_correlation_is_refused() -> None:
    found, errors = read({"name": "x", "correlation": {**COUNT, "rules": ["y"]}}, {"name": "y", "correlation": {**COUNT, "rules": ["z"]}},
                         {"name": "z", "correlation": {**COUNT, "timespan": "soon"}}, {"name": "fine", "correlation": COUNT})
    assert [each.name for each in found] == ["fine"]
    assert [error.message for error in errors][1:] == [f"rule 'C{n}': refers to a correlation that is itself in error" for n in (1, 0)]


def test_correlations_carry_what_those_above_read() -> None:
    """The one above reads user.name, which the one between has from below, and source.ip under a name of its own."""
    found, errors = read(
        {"name": "top", "correlation": {**COUNT, "rules": ["middle"], "group-by": ["user.name"]}},
        {"name": "middle", "correlation": {**NEAR, "rules": ["low", "b"], "group-by": ["who"],
                                           "aliases": {"who": {"low": "source.ip", "b": "source.ip"}}}},
        {"name": "low", "correlation": COUNT})
    assert not errors
    assert [(each.name, each.carries) for each in found] == [("low", ("source.ip", "user.name")), ("middle", ("user.name",)), ("top", None)]
    assert found[0].fields == {"host.name", "source.ip", "user.name"}


def test_the_alternatives_of_words() -> None:
    (found,), errors = read({"correlation": {**NEAR, "rules": ["a", "b", "c"], "condition": "2 of them and not (a and c)"}})
    assert not errors and isinstance(found.condition, Expression)
    ways = {("".join(sorted(present)).replace("id-", ""), "".join(sorted(absent)).replace("id-", ""))
            for present, absent in found.condition.alternatives()}
    assert ways == {("ab", "c"), ("bc", "a")}
