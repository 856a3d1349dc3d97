"""The engine's windows against the obvious way (plain_correlation.py), on random events; and what must hold whatever the order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judge import MAX_EVENTS, evaluate, members
from pipeline.sigma.correlation_reader import read_correlations
from pipeline.sigma.correlations import Correlation
from pipeline.sigma.documents import read_documents
from pipeline.sigma.metadata import Custom
from tests import plain_correlation

SECOND = 1_000_000
RULES = [SimpleNamespace(id=f"id-{name}", name=name, custom=Custom()) for name in "abc"]
BODIES: dict[str, dict[str, Any]] = {
    "count": {"type": "event_count", "rules": ["a"], "condition": {"gte": 3}},
    "count of two rules": {"type": "event_count", "rules": ["a", "b"], "condition": {"gt": 2}},
    "exactly": {"type": "event_count", "rules": ["a"], "condition": {"eq": 2}},
    "range": {"type": "event_count", "rules": ["a"], "condition": {"gte": 2, "lt": 4}},
    "few": {"type": "event_count", "rules": ["a"], "condition": {"lt": 2}},
    "values": {"type": "value_count", "rules": ["a", "b"], "condition": {"field": "user.name", "gte": 2}},
    "pairs of values": {"type": "value_count", "rules": ["a"], "condition": {"field": ["user.name", "source.ip"], "gte": 3}},
    "alias": {"type": "value_count", "rules": ["a", "b"], "condition": {"field": "who", "gte": 2},
              "aliases": {"who": {"a": "user.name", "b": "source.ip"}}},
    "temporal": {"type": "temporal", "rules": ["a", "b", "c"]},
    "two of three": {"type": "temporal", "rules": ["a", "b", "c"], "condition": {"gte": 2}},
    "ordered": {"type": "temporal_ordered", "rules": ["b", "a"]},
    "ordered three": {"type": "temporal_ordered", "rules": ["c", "a", "b"]},
    "words": {"type": "temporal", "rules": ["a", "b", "c"], "condition": "a and (b or c)"},
    "of them": {"type": "temporal", "rules": ["a", "b", "c"], "condition": "2 of them"},
    "not": {"type": "temporal", "rules": ["a", "b", "c"], "condition": "a and not b"},
    "not one of": {"type": "temporal", "rules": ["a", "b", "c"], "condition": "a and not 1 of them or b and not (a or c)"},
    "sum": {"type": "value_sum", "rules": ["a"], "condition": {"field": "network.bytes", "gte": 9}},
    "avg": {"type": "value_avg", "rules": ["a", "b"], "condition": {"field": "network.bytes", "gt": 5}},
    "median": {"type": "value_median", "rules": ["a"], "condition": {"field": "network.bytes", "gte": 5}},
    "percentile": {"type": "value_percentile", "rules": ["a"], "condition": {"field": "network.bytes", "percentile": 90, "gte": 7}}}


def correlation(body: dict[str, Any], known_from: tuple[str, ...] = ()) -> Correlation:
    text = yaml.safe_dump({"title": "t", "id": "id-t", "custom": {"known_from": list(known_from)},
                           "correlation": {"group-by": ["host.name"], "timespan": "10s"} | body})
    found, errors = read_correlations(list(read_documents(text, Path("t.yml"))), RULES)  # type: ignore[arg-type]
    assert not errors, errors
    return found[0]


Hit = tuple[str, dict[str, Any]]
hit = st.tuples(
    st.sampled_from(["id-a", "id-b", "id-c"]),
    st.fixed_dictionaries({
        "id": st.integers(0, 40).map(str), "time": st.integers(0, 60).map(lambda s: s * SECOND),
        "host.name": st.sampled_from(["esx1", "ESX1", "esx2", None]), "user.name": st.sampled_from(["anna", "Anna", "ben", None]),
        "source.ip": st.sampled_from(["192.0.2.1", "192.0.2.2", None]), "network.bytes": st.one_of(st.none(), st.integers(0, 9))}))


@st.composite
def hits_of_events(draw: st.DrawFn) -> list[Hit]:
    """An event has one time and one set of fields, whichever rules it is a hit of."""
    by_id: dict[str, dict[str, Any]] = {}
    return [(rule, by_id.setdefault(str(event["id"]), event)) for rule, event in draw(st.lists(hit, max_size=25))]


def frame(hits: list[Hit]) -> pl.DataFrame:
    schema = {"rule_id": pl.String, "event": pl.String, "time": pl.Int64, "fact": pl.String, "channel": pl.String, "host.name": pl.String,
              "user.name": pl.String, "source.ip": pl.String, "network.bytes": pl.Int64}
    return pl.DataFrame([{"rule_id": rule, "event": event["id"], **event} for rule, event in hits], schema=schema)


def found(c: Correlation, hits: list[Hit], horizon: int) -> pl.DataFrame:
    return evaluate(members(frame(hits), [c]), [c], horizon)


def comparable(findings: pl.DataFrame) -> set[tuple[Any, ...]]:
    return {(row["key"], row["first"], row["last"], row["count"], frozenset(row["events"]), round(row["value"], 6))
            for row in findings.to_dicts()}


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=40, deadline=None)
@given(hits=hits_of_events(), horizon=st.integers(0, 80))
def test_same_findings_as_the_obvious_way(name: str, hits: list[Hit], horizon: int) -> None:
    c = correlation(BODIES[name])
    expected = {("\x1f".join(f.group), f.first, f.last, len(f.events), f.events, round(f.value, 6))
                for f in plain_correlation.evaluate(c, hits, horizon * SECOND) if len(f.events) <= MAX_EVENTS}
    assert {each for each in comparable(found(c, hits, horizon * SECOND)) if each[3] <= MAX_EVENTS} == expected


@settings(max_examples=12, deadline=None)
@given(hits=hits_of_events(), data=st.data())
def test_order_and_repetition_of_hits_change_nothing(hits: list[Hit], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(hits + hits[: len(hits) // 2]))
    for body in BODIES.values():
        c = correlation(body)
        assert comparable(found(c, hits, 60 * SECOND)) == comparable(found(c, list(shuffled), 60 * SECOND))
