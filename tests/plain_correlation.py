"""Sigma correlations the obvious way: one window after another, one event after another, straight from the specification's words.

Slow on purpose, and independent of the engine: it shares nothing with pipeline/ but the parsed rule. Times are integers (microseconds).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.sigma.correlations import Correlation, Threshold
from pipeline.sigma.expressions import Expression

Event = Mapping[str, Any]
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b,
    "eq": lambda a, b: a == b, "neq": lambda a, b: a != b}


@dataclass(frozen=True)
class Finding:
    """A group, the times of its first and last event, the ids of its events, and what was counted at most."""

    group: tuple[str, ...]
    first: int
    last: int
    events: frozenset[str]
    value: float | None


def evaluate(correlation: Correlation, hits: Iterable[tuple[str, Event]], horizon: int) -> set[Finding]:
    """Findings; `hits` are (rule id, event) with `id`, `time` and flat fields."""
    groups: dict[tuple[str, ...], list[tuple[str, Event]]] = {}
    for rule, event in hits:
        if rule in correlation.refers_to:
            key = tuple(event.get(correlation.field_of(name, rule)) for name in correlation.group_by)
            if None not in key:
                groups.setdefault(tuple(str(part).lower() for part in key), []).append((rule, event))
    return {finding for key, rows in groups.items() for finding in _group(correlation, key, rows, horizon)}


def _group(correlation: Correlation, key: tuple[str, ...], rows: list[tuple[str, Event]], horizon: int) -> list[Finding]:
    rows = list({(rule, event["id"]): (rule, event) for rule, event in rows}.values())
    fired = []
    for anchor in rows:
        window = _window(correlation, anchor, rows, horizon)
        if window is not None:
            fired.append(window)
    return _together(key, fired)


Window = tuple[list[Event], float | None, set[str]]  # events of the window, what was counted, ids of the window's rows (all rules)


def _window(correlation: Correlation, anchor: tuple[str, Event], rows: list[tuple[str, Event]], horizon: int) -> Window | None:
    time, span, condition = anchor[1]["time"], correlation.span, correlation.condition
    before = [(rule, event) for rule, event in rows if time - span <= event["time"] <= time]
    after = [(rule, event) for rule, event in rows if time <= event["time"] <= time + span]
    if isinstance(condition, Expression):
        return _expression(correlation, condition, anchor, before, after, time + span <= horizon)
    if correlation.type == "temporal_ordered":
        chain = _chain(correlation, anchor, before)
        if chain is None:
            return None
        inside = [event for rule, event in before if rule in correlation.rules and event["time"] >= chain]
        return inside, float(len(correlation.rules)), {event["id"] for event in inside}
    late = condition.only_upper
    if anchor[0] not in (correlation.known_from if late and correlation.known_from else correlation.rules):
        return None
    if late and time + span > horizon:
        return None
    mine = [(rule, event) for rule, event in (after if late else before) if rule in correlation.rules]
    value = _measure(correlation, condition, mine)
    if late and value is None:
        value = 0.0
    if value is None or not all(COMPARE[operator](value, bound) for operator, bound in condition.bounds.items()):
        return None
    inside = [event for _, event in after] if late else [event for _, event in mine]
    return inside, value, {event["id"] for event in inside}


def _measure(correlation: Correlation, condition: Threshold, rows: list[tuple[str, Event]]) -> float | None:
    if correlation.type == "event_count":
        return float(len({event["id"] for _, event in rows}))
    if correlation.type == "temporal":
        return float(len({rule for rule, _ in rows}))
    values = [[event.get(correlation.field_of(name, rule)) for name in condition.fields] for rule, event in rows]
    if correlation.type == "value_count":
        return float(len({tuple(str(v).lower() for v in value) for value in values if None not in value}))
    named = {(event["id"], value[0]) for (_, event), value in zip(rows, values, strict=True)}
    numbers = sorted(float(value) for _, value in named if value is not None)
    if not numbers:
        return None
    if correlation.type == "value_sum":
        return sum(numbers)
    if correlation.type == "value_avg":
        return statistics.fmean(numbers)
    share = condition.percentile / 100 if correlation.type == "value_percentile" else 0.5
    place = (len(numbers) - 1) * share
    low, high = numbers[math.floor(place)], numbers[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def _chain(correlation: Correlation, anchor: tuple[str, Event], rows: list[tuple[str, Event]]) -> int | None:
    """The start of the shortest chain of different events in the order of the rules that ends with the anchor."""
    if anchor[0] != correlation.rules[-1]:
        return None
    by_rule = [[event for rule, event in rows if rule == wanted] for wanted in correlation.rules[:-1]]
    starts = []
    for chain in itertools.product(*by_rule):
        whole = [*chain, anchor[1]]
        if len({event["id"] for event in whole}) == len(whole) and all(a["time"] <= b["time"] for a, b in itertools.pairwise(whole)):
            starts.append(whole[0]["time"])
    return max(starts, default=None)


def _expression(correlation: Correlation, condition: Expression, anchor: tuple[str, Event], before: list[tuple[str, Event]],
                after: list[tuple[str, Event]], complete: bool) -> Window | None:
    wanted, unwanted = condition.rules(positive=True), condition.rules(positive=False)
    if anchor[0] not in (correlation.known_from or wanted) or (unwanted and not complete):
        return None
    rows = after if unwanted else before
    if not _holds(condition, {rule for rule, _ in rows}):
        return None
    inside = [event for rule, event in rows if rule in wanted or rule in correlation.known_from]
    return inside, float(len({rule for rule, _ in rows} & wanted)), {event["id"] for _, event in rows}


def _holds(condition: Expression, present: set[str]) -> bool:
    if condition.op == "rule":
        return condition.rule in present
    inner = [_holds(part, present) for part in condition.parts]
    return not inner[0] if condition.op == "not" else sum(inner) >= condition.number


def _together(key: tuple[str, ...], windows: list[Window]) -> list[Finding]:
    """Windows that share a row are one finding."""
    merged: list[Window] = []
    for window in windows:
        touching = [other for other in merged if other[2] & window[2]]
        merged = [other for other in merged if not other[2] & window[2]]
        events, values, ids = list(window[0]), [window[1]], set(window[2])
        for other in touching:
            events, values, ids = events + other[0], [*values, other[1]], ids | other[2]
        merged.append((events, max((v for v in values if v is not None), default=None), ids))
    return [Finding(key, min(e["time"] for e in events), max(e["time"] for e in events), frozenset(e["id"] for e in events), value)
            for events, value, _ in merged if events]
