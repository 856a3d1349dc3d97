"""Which windows fulfil the condition of a correlation: every type, over the rows of many groups at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .sigma.correlations import NUMERIC, Correlation, Threshold
from .sigma.expressions import Expression
from .windows import Flags, Floats, Ints, Series, Windows, within


@dataclass(frozen=True)
class Rows:
    """The hits of all groups of a correlation, in the order of `series`, column by column.

    `slots` numbers the rules; `own` are hits of the rules that are counted; `opens` those from which on an absence is judged; `event`
    numbers the events, `value` the texts counted (-1 is none); `number` is NaN where there is none.
    """

    series: Series
    slots: Mapping[str, int]
    own: Flags
    opens: Flags
    event: Ints
    value: Ints
    number: Floats

    @property
    def flipped(self) -> Rows:
        """With time running backwards."""
        return Rows(self.series.flipped, self.slots, self.own[::-1], self.opens[::-1], self.event[::-1], self.value[::-1],
                    self.number[::-1])

    def of(self, rules: Iterable[str]) -> Flags:
        """Hits of some rules."""
        found: Flags = np.isin(self.series.slot, [self.slots[rule] for rule in rules])
        return found


@dataclass(frozen=True)
class Fulfilled:
    """Windows that fulfil a condition, what was counted in each, and which rows are evidence for them."""

    windows: Windows
    metric: Floats
    evidence: Flags


def fulfilled(rows: Rows, correlation: Correlation, horizon: int) -> Fulfilled:
    """Where the condition is fulfilled. `horizon` is the time up to which the data were watched."""
    condition, ordered = correlation.condition, correlation.type == "temporal_ordered"
    if not isinstance(condition, Threshold):
        return (_words_in_order if ordered else _words)(rows, correlation, condition, horizon)
    if condition.only_upper:
        return _absence(rows, correlation, condition, horizon)
    return _sequences(rows, correlation, condition) if ordered else _reached(rows, correlation, condition)


# --- numbers ------------------------------------------------------------------------------------------------------------------


def _reached(rows: Rows, correlation: Correlation, condition: Threshold) -> Fulfilled:
    """In the window up to each row."""
    metric = _measure(rows, correlation)
    fired = rows.own & within(metric, condition.bounds)
    return Fulfilled(rows.series.trailing.where(fired), metric[fired], rows.own)


def _absence(rows: Rows, correlation: Correlation, condition: Threshold, horizon: int) -> Fulfilled:
    """In the window from each row on, once it is over. The sum of nothing is zero; nothing has no average."""
    metric = _measure(rows.flipped, correlation, backwards=True)[::-1]
    if correlation.type == "value_sum":
        metric = np.nan_to_num(metric)
    windows = rows.series.leading
    fired = rows.opens & (windows.closes <= horizon) & within(metric, condition.bounds)
    return Fulfilled(windows.where(fired), metric[fired], rows.own | rows.opens)


def _measure(rows: Rows, correlation: Correlation, *, backwards: bool = False) -> Floats:
    """What the type counts, in the trailing window of each row."""
    series, kind = rows.series, correlation.type
    if kind in NUMERIC:
        return _statistic(series, np.where(rows.own, rows.number, np.nan), correlation)
    if kind == "temporal_ordered":
        rules = correlation.rules[::-1] if backwards else correlation.rules
        return _longest(series, [rows.slots[rule] for rule in rules], rows.event)
    if kind == "event_count":
        return series.count(series.trailing, rows.own).astype(np.float64)
    return series.distinct(np.where(rows.own, series.slot if kind == "temporal" else rows.value, -1)).astype(np.float64)


def _statistic(series: Series, numbers: Floats, correlation: Correlation) -> Floats:
    if correlation.type == "value_avg":
        return series.mean(numbers)
    if correlation.type == "value_sum":
        return np.where(series.count(series.trailing, ~np.isnan(numbers)) > 0, series.total(numbers), np.nan)
    return series.quantile(numbers, (correlation.threshold.percentile if correlation.type == "value_percentile" else 50) / 100)


# --- sequences ----------------------------------------------------------------------------------------------------------------


def _near(series: Series, start: Ints) -> Flags:
    """Whether there is a starting row (-1 is none), and within the span of each row."""
    near: Flags = (start >= 0) & (series.time - series.time[start] <= series.span)
    return near


def _longest(series: Series, slots: Sequence[int], event: Ints) -> Floats:
    """How many rules follow one another in the trailing window of each row."""
    length = np.zeros(series.time.size)
    for number, start in enumerate(series.chains(slots, event), 1):
        length[_near(series, series.latest(start))] = number
    return length


def _sequences(rows: Rows, correlation: Correlation, condition: Threshold) -> Fulfilled:
    """In the window from the first to the last row of the longest sequence that ends at each row, the shortest in time."""
    series = rows.series
    length, begins = np.zeros(series.time.size), series.rows
    for number, start in enumerate(series.chains([rows.slots[rule] for rule in correlation.rules], rows.event), 1):
        near = _near(series, start)
        length[near], begins[near] = number, start[near]
    fired = rows.own & within(length, condition.bounds)
    windows = Windows(series.leading.first[begins], series.trailing.last, series.time)
    return Fulfilled(windows.where(fired), length[fired], rows.own)


# --- words --------------------------------------------------------------------------------------------------------------------


def _words(rows: Rows, correlation: Correlation, condition: Expression, horizon: int) -> Fulfilled:
    """`a and b`: in the window up to a row. With `not`, the window starts at a row of a rule that must be there, and must be over."""
    series, wanted = rows.series, condition.rules(positive=True)
    windows = series.leading if correlation.waits else series.trailing
    nowhere: Flags = np.zeros(series.time.size, dtype=bool)
    by_slot = series.present(windows)
    present = {rule: by_slot.get(slot, nowhere) for rule, slot in rows.slots.items()}
    evidence = rows.of(wanted)
    anchors = rows.opens if correlation.known_from else evidence
    fired = condition.holds(present) & anchors
    if correlation.waits:
        fired &= windows.closes <= horizon
    metric = np.sum([nowhere, *(present[rule] for rule in wanted)], axis=0).astype(np.float64)
    return Fulfilled(windows.where(fired), metric[fired], evidence | anchors)


def _words_in_order(rows: Rows, correlation: Correlation, condition: Expression, horizon: int) -> Fulfilled:
    """In the window from the first to the last row of a sequence of rules that make the condition true; what must be absent is absent
    from the whole window that begins with the sequence."""
    series = rows.series
    found = [Fulfilled(series.trailing.where(series.rows[:0]), np.zeros(0), rows.own)]
    for present, absent in condition.alternatives():
        order = [rule for rule in correlation.rules if rule in present]
        if not order:
            continue
        *_, start = series.chains([rows.slots[rule] for rule in order], rows.event)
        first, closes = series.leading.first[start], series.leading.closes[start]
        fired = _near(series, start)
        if absent:
            whole = Windows(first, series.leading.last[start], closes)
            fired &= (closes <= horizon) & (series.count(whole, rows.of(absent)) == 0)
        windows = Windows(first, series.trailing.last, closes if absent else series.time)
        found.append(Fulfilled(windows.where(fired), np.full(fired.sum(), float(len(order))), rows.own))
    together = Windows(*(np.concatenate([getattr(each.windows, edge) for each in found]) for edge in ("first", "last", "closes")))
    return Fulfilled(together, np.concatenate([each.metric for each in found]), rows.of(condition.rules(positive=True)))
