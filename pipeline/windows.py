"""Sliding windows by event time over the rows of many groups at once: numpy over sorted arrays, no loop over rows, windows or groups.

A window reaches from t - span to t, both ends included, and is judged at the time t of each row (SQL's RANGE BETWEEN span PRECEDING AND
CURRENT ROW). A window is therefore never cut by the edge of a bin. Conditions that nothing at all satisfies (fewer than, not) need a
window that was watched to its end: it starts at a row, reaches to t + span, and counts only if the data go on at least that far.

Everything costs O(n log n) in the rows n, whatever their distribution over groups: sorting, binary search and running sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Windows:
    """Windows as row ranges [first, last], one per judged row, in order of rows; `closes` is when each ends (microseconds)."""

    first: Ints
    last: Ints
    closes: Ints


@dataclass(frozen=True)
class Series:
    """Rows sorted by group, time and slot.

    `group` numbers groups from 0 upwards; `time` is in microseconds; `slot` numbers the rule that the row is a hit of; `span` is the
    length of a window in microseconds.
    """

    group: Ints
    time: Ints
    slot: Ints
    span: int

    @property
    def rows(self) -> Ints:
        return np.arange(self.time.size, dtype=np.int64)

    @cached_property
    def axis(self) -> Ints:
        """One time axis for all groups, on which rows of different groups are further apart than any window."""
        if not self.time.size:
            return self.time
        starts = np.flatnonzero(np.diff(self.group, prepend=-1))
        ends = np.append(starts[1:], self.time.size) - 1
        lengths = self.time[ends] - self.time[starts] + self.span + 1
        shift = np.concatenate(([0], np.cumsum(lengths)[:-1])) - self.time[starts]
        return self.time + np.repeat(shift, ends - starts + 1)

    @cached_property
    def flipped(self) -> Series:
        """The same rows with time running backwards: its trailing windows are the leading windows of this one, in reverse order."""
        highest = self.group[-1] if self.group.size else 0
        return Series(highest - self.group[::-1], -self.time[::-1], self.slot[::-1], self.span)

    @cached_property
    def trailing(self) -> Windows:
        """The windows that end at each row."""
        first = np.searchsorted(self.axis, self.axis - self.span, side="left")
        return Windows(first, np.searchsorted(self.axis, self.axis, side="right") - 1, self.time)

    @cached_property
    def leading(self) -> Windows:
        """The windows that start at each row."""
        first = np.searchsorted(self.axis, self.axis, side="left")
        return Windows(first, np.searchsorted(self.axis, self.axis + self.span, side="right") - 1, self.time + self.span)

    def count(self, windows: Windows, counted: Flags | None = None) -> Ints:
        """Rows in each window (of those that count)."""
        ones = np.ones(self.time.size, np.int64) if counted is None else counted.astype(np.int64)
        sums = np.concatenate(([0], np.cumsum(ones)))
        return sums[windows.last + 1] - sums[windows.first]

    def distinct(self, values: Ints) -> Ints:
        """Different values in each trailing window; a negative value is none.

        A row is the last of its value in the windows that end at or after it, before the next row of that value, and still reach back to
        it: +1 at the start and -1 at the end of that stretch, summed up.
        """
        n = self.time.size
        following = np.full(n, n, np.int64)
        order = np.lexsort((self.rows, values, self.group))
        same = (values[order][:-1] == values[order][1:]) & (self.group[order][:-1] == self.group[order][1:])
        following[order[:-1][same]] = order[1:][same]
        reach = np.minimum(following, self.leading.last + 1)
        some = values >= 0
        changes = np.bincount(self.rows[some], minlength=n + 1) - np.bincount(reach[some], minlength=n + 1)
        return np.cumsum(changes)[self.trailing.last]

    def total(self, values: Floats) -> Floats:
        """Sum of the values in each trailing window; NaN is no value."""
        sums = np.concatenate(([0.0], np.cumsum(np.nan_to_num(values))))
        return sums[self.trailing.last + 1] - sums[self.trailing.first]

    def mean(self, values: Floats) -> Floats:
        """Mean of the values in each trailing window; NaN where there is none."""
        counted = self.count(self.trailing, ~np.isnan(values))
        mean: Floats = np.divide(self.total(values), counted, out=np.full(values.size, np.nan), where=counted > 0)
        return mean

    def quantile(self, values: Floats, share: float) -> Floats:
        """Quantile (linear between neighbours) of the values in each trailing window; NaN where there is none."""
        frame = pl.DataFrame({"axis": self.axis, "value": values}).with_columns(pl.col("value").fill_nan(None))
        rolled = frame.select(pl.col("value").rolling_quantile_by(
            "axis", f"{self.span}i", quantile=share, interpolation="linear", closed="both", min_samples=1))
        found = rolled.to_series().to_numpy()
        return np.asarray(found, np.float64)[self.trailing.last]

    def present(self, windows: Windows) -> dict[int, Flags]:
        """Slot -> in which windows it has a row."""
        return {int(slot): self.count(windows, self.slot == slot) > 0 for slot in np.unique(self.slot)}

    def chains(self, slots: tuple[int, ...], event: Ints) -> Ints:
        """For each row of the last slot: the row that starts the latest chain of rows of all slots in order that ends there; -1 where there
        is none.

        Taking the latest row that fits, from the end backwards, gives the shortest chain. Rows of the same time may follow one another;
        one event that is a hit of two rules is not a chain with itself.
        """
        start = np.where(self.slot == slots[-1], self.rows, -1)
        group_start = np.searchsorted(self.group, self.group, side="left")
        for slot in reversed(slots[:-1]):
            latest = np.maximum.accumulate(np.where(self.slot == slot, self.rows, -1))
            # rows of the same time are in order of slots; look at all of them, whatever the order of the rules
            before = np.where(start >= 0, latest[self.trailing.last[np.maximum(start, 0)]], -1)
            itself = (before >= 0) & (event[np.maximum(before, 0)] == event[np.maximum(start, 0)]) & (start >= 0)
            before = np.where(itself, np.where(before > 0, latest[np.maximum(before - 1, 0)], -1), before)
            start = np.where((start >= 0) & (before >= group_start), before, -1)
        return start


def episodes(windows: Windows, fired: Flags, metric: Floats, *, lowest: bool = False) -> pl.DataFrame:
    """Windows that fired, those that share a row put together.

    Columns: `first`, `last` (rows), `closes` (microseconds), `value` (the highest metric of its windows; the lowest if `lowest`).
    """
    chosen = np.flatnonzero(fired)
    if not chosen.size:
        return pl.DataFrame(schema={"first": pl.Int64, "last": pl.Int64, "closes": pl.Int64, "value": pl.Float64})
    first, last = windows.first[chosen], windows.last[chosen]
    order = np.lexsort((last, first))
    first, last = first[order], last[order]
    reach = np.maximum.accumulate(last)
    opens = np.concatenate(([True], first[1:] > reach[:-1]))
    frame = pl.DataFrame({"episode": np.cumsum(opens), "first": first, "last": last, "closes": windows.closes[chosen][order],
                          "value": metric[chosen][order].astype(np.float64)})
    value = pl.col("value").min() if lowest else pl.col("value").max()
    return frame.group_by("episode", maintain_order=True).agg(
        pl.col("first").min(), pl.col("last").max(), pl.col("closes").max(), value).drop("episode")


_COMPARE: Mapping[str, Any] = {"gt": np.greater, "gte": np.greater_equal, "lt": np.less, "lte": np.less_equal, "eq": np.equal,
                               "neq": np.not_equal}


def within(metric: Floats, bounds: Mapping[str, float]) -> Flags:
    """Where a metric keeps all bounds; NaN keeps none."""
    holds = ~np.isnan(metric)
    for operator, bound in bounds.items():
        holds &= _COMPARE[operator](metric, bound)
    return holds
