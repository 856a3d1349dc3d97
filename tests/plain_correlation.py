"""Sigma correlations the obvious way: one window after another, one event after another, straight from the specification's words.

Slow on purpose, and independent of the engine: it shares nothing with pipeline/ but the parsed rule. Times are integers (microseconds).
What the specification leaves open is told in tests/conformance/README.md.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pipeline.sigma.correlations import Correlation, Threshold
from pipeline.sigma.expressions import Expression

Event = Mapping[str, Any]  # with `id` and `time`, and for an alert below the `finding` itself
Row = tuple[str, Event]  # the id of a rule and a hit of it
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b,
    "eq": lambda a, b: a == b, "neq": lambda a, b: a != b}
COUNTED = ("event_count", "value_count", "value_sum", "value_avg", "value_percentile", "value_median")


@dataclass(frozen=True)
class Window:
    """When it is judged, the rows that are evidence, all of its rows, and what was counted."""

    closes: int
    evidence: list[Row]
    rows: set[tuple[str, str, int]]
    value: float


@dataclass(frozen=True)
class Finding:
    """A group, the times of the first and last event, the ids of the events, and what was counted; and the windows put together in it."""

    correlation: str
    group: tuple[str, ...]
    first: int
    last: int
    events: frozenset[str]
    value: float
    windows: list[Window] = field(compare=False, repr=False)


def judge(correlations: Sequence[Correlation], hits: Iterable[Row], horizon: int) -> list[Finding]:
    """Findings of correlations, each of which stands after those that it refers to; `hits` have flat fields."""
    hits = list(hits)
    found: list[Finding] = []
    for correlation in correlations:
        below = [hit for finding in found if finding.correlation in correlation.refers_to
                 for hit in _as_hits(finding, next(c for c in correlations if c.id == finding.correlation), correlation)]
        found += evaluate(correlation, [*hits, *below], horizon)
    return found


def _as_hits(finding: Finding, inner: Correlation, outer: Correlation) -> Iterator[Row]:
    """For each of its events at the first and the last time at which it is true with it, with the fields of the group and of the event."""
    group = dict(zip(inner.group_by, finding.group, strict=True))
    for rule, event in (row for window in finding.windows for row in window.evidence):
        values = {name: event.get(inner.field_of(name, rule)) for name in outer.fields_of(inner.id)} | group
        closes = [window.closes for window in finding.windows if (rule, event["id"], event["time"]) in window.rows]
        for time in {min(closes), max(closes)}:
            yield inner.id, values | {"id": f"{inner.id} {finding.group} {finding.first}", "time": time, "finding": finding}


def evaluate(correlation: Correlation, hits: Iterable[Row], horizon: int) -> list[Finding]:
    """Findings of one correlation."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for rule, event in hits:
        if rule in correlation.refers_to:
            key = tuple(event.get(correlation.field_of(name, rule)) for name in correlation.group_by)
            if None not in key:
                groups.setdefault(tuple(str(part).lower() for part in key), []).append((rule, event))
    return [finding for key, rows in groups.items() for finding in _group(correlation, key, rows, horizon)]


def _group(correlation: Correlation, key: tuple[str, ...], rows: list[Row], horizon: int) -> list[Finding]:
    opening = {event["id"] for rule, event in rows if rule in (correlation.known_from or correlation.rules)}
    rows = _each_once(correlation, rows)
    fired = [window for anchor in rows for window in _windows(correlation, anchor, rows, opening, horizon)]
    return _together(correlation, key, fired)


def _each_once(correlation: Correlation, rows: list[Row]) -> list[Row]:
    """One row for each rule, event and time; where events are counted, one for each event and value, of the rules counted if it can be."""
    once: dict[Any, Row] = {}
    for rule, event in sorted(rows, key=lambda row: (row[1]["time"], correlation.refers_to.index(row[0]))):
        value = _value(correlation, rule, event)
        once.setdefault((event["id"], value) if correlation.type in COUNTED else (rule, event["id"], event["time"]), (rule, event))
    return list(once.values())


def _value(correlation: Correlation, rule: str, event: Event) -> tuple[str, ...] | None:
    fields = correlation.condition.fields if isinstance(correlation.condition, Threshold) else ()
    values = [event.get(correlation.field_of(name, rule)) for name in fields]
    return None if None in values else tuple(str(value).lower() for value in values)


def _windows(correlation: Correlation, anchor: Row, rows: list[Row], opening: Collection[str], horizon: int) -> Iterator[Window]:
    time, span, condition = anchor[1]["time"], correlation.span, correlation.condition
    before = [row for row in rows if time - span <= row[1]["time"] <= time]
    after = [row for row in rows if time <= row[1]["time"] <= time + span]
    own, over = anchor[0] in correlation.rules, time + span <= horizon
    if isinstance(condition, Expression) and correlation.type == "temporal_ordered":
        yield from _words_in_order(correlation, condition, anchor, rows, horizon)
    elif isinstance(condition, Expression):
        wanted = condition.rules(positive=True)
        anchored = anchor[1]["id"] in opening if correlation.known_from else anchor[0] in wanted
        inside = after if correlation.waits else before
        present = {rule for rule, _ in inside}
        if anchored and (over or not correlation.waits) and _holds(condition, present, present):
            evidence = [row for row in inside if row[0] in wanted or (correlation.known_from and row[1]["id"] in opening)]
            yield _window(time + span if correlation.waits else time, evidence, inside, len(present & wanted))
    elif correlation.waits:
        value = _measure(correlation, condition, [row for row in after if row[0] in correlation.rules])
        value = 0 if value is None and correlation.type == "value_sum" else value
        if anchor[1]["id"] in opening and over and value is not None and _within(value, condition):
            evidence = [row for row in after if row[0] in correlation.rules or row[1]["id"] in opening]
            yield _window(time + span, evidence, after, value)
    elif own and correlation.type == "temporal_ordered":
        chains = [chain for chain in _chains(correlation.rules, before) if chain[-1] == anchor]
        length = max(map(len, chains))
        start = max(chain[0][1]["time"] for chain in chains if len(chain) == length)
        if _within(length, condition):
            inside = [row for row in before if row[1]["time"] >= start]
            yield _window(time, [row for row in inside if row[0] in correlation.rules], inside, length)
    elif own:
        mine = [row for row in before if row[0] in correlation.rules]
        value = _measure(correlation, condition, mine)
        if value is not None and _within(value, condition):
            yield _window(time, mine, before, value)


def _window(closes: int, evidence: list[Row], rows: Iterable[Row], value: float) -> Window:
    return Window(closes, evidence, {(rule, event["id"], event["time"]) for rule, event in rows}, float(value))


def _within(value: float, condition: Threshold) -> bool:
    return all(COMPARE[operator](value, bound) for operator, bound in condition.bounds.items())


def _measure(correlation: Correlation, condition: Threshold, rows: list[Row]) -> float | None:
    """What is counted, added or found; None where there is nothing of it."""
    if correlation.type == "event_count":
        return len({event["id"] for _, event in rows})
    if correlation.type == "temporal":
        return len({rule for rule, _ in rows})
    if correlation.type == "temporal_ordered":
        return max(map(len, _chains(correlation.rules, rows)), default=0)
    if correlation.type == "value_count":
        return len({_value(correlation, rule, event) for rule, event in rows} - {None})
    numbers = _numbers(correlation, condition, rows)
    if not numbers:
        return None
    if correlation.type == "value_sum":
        return math.fsum(numbers)
    if correlation.type == "value_avg":
        return statistics.fmean(numbers)
    place = (len(numbers) - 1) * (condition.percentile / 100 if correlation.type == "value_percentile" else 0.5)
    low, high = numbers[math.floor(place)], numbers[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def _numbers(correlation: Correlation, condition: Threshold, rows: list[Row]) -> list[float]:
    named = {(event["id"], event.get(correlation.field_of(condition.fields[0], rule))) for rule, event in rows}
    return sorted(float(value) for _, value in named if value is not None)


def _chains(order: Sequence[str], rows: list[Row]) -> Iterator[list[Row]]:
    """Every sequence of rows of different rules in their order, in which each event is another than the one before and not earlier."""
    def longer(chain: list[Row], after: int) -> Iterator[list[Row]]:
        for place in range(after, len(order)):
            for row in rows:
                fits = not chain or (row[1]["id"] != chain[-1][1]["id"] and row[1]["time"] >= chain[-1][1]["time"])
                if row[0] == order[place] and fits:
                    yield [*chain, row]
                    yield from longer([*chain, row], place + 1)

    return longer([], 0)


def _holds(condition: Expression, present: Collection[str], not_absent: Collection[str], negated: bool = False) -> bool:
    """Rules that must be there are looked for in `present`, those that must not in `not_absent`."""
    if condition.op == "rule":
        return condition.rule in (not_absent if negated else present)
    inner = [_holds(part, present, not_absent, negated != (condition.op == "not")) for part in condition.parts]
    return not inner[0] if condition.op == "not" else sum(inner) >= condition.number


@cache
def _ways(condition: Expression, rules: tuple[str, ...]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """The least sets of rules that must be there, and must not be there."""
    sets = [frozenset(some) for n in range(len(rules) + 1) for some in itertools.combinations(rules, n)]
    ways = [(there, absent) for there in sets for absent in sets
            if not there & absent and _holds(condition, there, set(rules) - absent)]
    return [way for way in ways if not any(other[0] <= way[0] and other[1] <= way[1] and other != way for other in ways)]


def _words_in_order(correlation: Correlation, condition: Expression, anchor: Row, rows: list[Row], horizon: int) -> Iterator[Window]:
    """A sequence of the rules that must be there, and none of those that must not be in the time frame that begins with it."""
    wanted = condition.rules(positive=True)
    for there, absent in _ways(condition, correlation.rules):
        chains = [chain for chain in _chains([rule for rule in correlation.rules if rule in there], rows)
                  if len(chain) == len(there) and chain[-1] == anchor]
        start = max((chain[0][1]["time"] for chain in chains), default=None)
        if start is None or anchor[1]["time"] - start > correlation.span:
            continue
        ends = start + correlation.span
        if absent and (ends > horizon or any(rule in absent and start <= event["time"] <= ends for rule, event in rows)):
            continue
        inside = [row for row in rows if start <= row[1]["time"] <= anchor[1]["time"]]
        yield _window(ends if absent else anchor[1]["time"], [row for row in inside if row[0] in wanted], inside, len(there))


def _together(correlation: Correlation, key: tuple[str, ...], windows: list[Window]) -> list[Finding]:
    """Windows that share a row are one finding."""
    heaps: list[list[Window]] = []
    for window in windows:
        touching = [heap for heap in heaps if any(other.rows & window.rows for other in heap)]
        heaps = [heap for heap in heaps if heap not in touching] + [[window, *itertools.chain.from_iterable(touching)]]
    return [_finding(correlation, key, heap) for heap in heaps]


def _finding(correlation: Correlation, key: tuple[str, ...], windows: list[Window]) -> Finding:
    events = [event for window in windows for _, event in window.evidence]
    below = [event["finding"] for event in events if "finding" in event]
    base = [event for event in events if "finding" not in event]
    best = min if isinstance(correlation.condition, Threshold) and correlation.waits else max
    return Finding(
        correlation.id, key, min([e["time"] for e in base] + [f.first for f in below]),
        max([e["time"] for e in base] + [f.last for f in below]),
        frozenset(e["id"] for e in base).union(*(f.events for f in below)), best(window.value for window in windows), windows)
