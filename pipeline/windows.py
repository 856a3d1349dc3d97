"""Sliding windows by event time over the rows of many groups at once: numpy over sorted arrays, no loop over rows, windows or groups.

A window reaches from t - span to t, both ends included, and is judged at the time t of each row (SQL's RANGE BETWEEN span PRECEDING AND
CURRENT ROW). A window is therefore never cut by the edge of a bin. Conditions that nothing at all satisfies (fewer than, not) need a
window that was watched to its end: it starts at a row, reaches to t + span, and counts only if the data go on at least that far.

Everything costs O(n log n) in the rows n, whatever their distribution over groups: sorting, binary search and running sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import polars as pl

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Windows:
    """Windows as row ranges [first, last]; `closes` is when each ends (microseconds)."""

    first: Ints
    last: Ints
    closes: Ints

    def where(self, chosen: Flags | Ints) -> Windows:
        """Some of them."""
        return Windows(self.first[chosen], self.last[chosen], self.closes[chosen])


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
        """Sum of the values in each trailing window; NaN is no value.

        Sums of 1, 2, 4, 8, ... rows are put together, never subtracted: the difference of two running sums would lose the small numbers
        of one group to the large ones of another.
        """
        first, after = self.trailing.first.copy(), self.trailing.last + 1
        blocks = np.nan_to_num(values)
        sums = np.zeros(values.size)
        while (first < after).any():
            opens, ends = ((first < after) & (edge % 2 == 1) for edge in (first, after))  # in the middle of a block of the next size
            sums[opens] += blocks[first[opens]]
            sums[ends] += blocks[after[ends] - 1]
            first, after = (first + 1) // 2, after // 2
            blocks = np.append(blocks, [0.0] * (blocks.size % 2)).reshape(-1, 2).sum(axis=1)
        return sums

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

    def chains(self, slots: Sequence[int], event: Ints) -> Iterator[Ints]:
        """For lengths 1, 2, ...: for each row, the row that starts the latest chain of so many different slots, in their order, that ends
        there; -1 where there is none.

        Rows of the same time may follow one another in either order; one event that is a hit of two rules does not follow itself.
        """
        starts = [np.where(self.slot == slot, self.rows, -1) for slot in slots]
        yield reduce(np.maximum, starts)
        for _ in slots[1:]:
            longer, before = [], np.full(self.time.size, -1, np.int64)
            for slot, start in zip(slots, starts, strict=True):
                longer.append(np.where(self.slot == slot, self._latest_of_another(before, event), -1))
                before = np.maximum(before, start)
            starts = longer
            yield reduce(np.maximum, starts)

    def latest(self, values: Ints) -> Ints:
        """The highest of some row numbers among the rows of the group up to the time of each row; -1 where there is none."""
        highest = np.maximum.accumulate(values)[self.trailing.last]
        return np.where(highest >= self._opening, highest, -1)

    def _latest_of_another(self, values: Ints, event: Ints) -> Ints:
        """The same, among the rows of other events."""
        starts = np.flatnonzero(self.leading.first == self.rows)  # of the rows of one instant
        instant = np.repeat(np.arange(starts.size), np.diff(starts, append=self.time.size))

        def highest(of: Ints) -> Ints:
            return np.asarray(np.maximum.reduceat(of, starts)[instant] if starts.size else of)

        best = highest(values)
        owner = highest(np.where(values == best, event, -1))
        others = highest(np.where(event == owner, -1, values))
        earlier = np.append([-1], np.maximum.accumulate(values))[self.leading.first]
        found = np.maximum(earlier, np.where(event == owner, others, best))
        return np.where(found >= self._opening, found, -1)

    @cached_property
    def _opening(self) -> Ints:
        """The first row of each row's group."""
        return np.searchsorted(self.group, self.group, side="left")


def episodes(windows: Windows, metric: Floats, *, lowest: bool = False) -> pl.DataFrame:
    """Windows, those that share a row put together.

    Columns: `first`, `last` (rows), `closes` (microseconds), `value` (the highest metric of its windows; the lowest if `lowest`).
    """
    if not windows.first.size:
        return pl.DataFrame(schema={"first": pl.Int64, "last": pl.Int64, "closes": pl.Int64, "value": pl.Float64})
    order = np.lexsort((windows.last, windows.first))
    sorted_ = windows.where(order)
    reach = np.maximum.accumulate(sorted_.last)
    opens = np.concatenate(([True], sorted_.first[1:] > reach[:-1]))
    frame = pl.DataFrame({"episode": np.cumsum(opens), "first": sorted_.first, "last": sorted_.last, "closes": sorted_.closes,
                          "value": metric[order].astype(np.float64)})
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
