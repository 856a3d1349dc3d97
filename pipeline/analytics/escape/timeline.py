"""Questions about what lies around each row of a sorted frame, answered for all rows of all groups at once: numpy, no loop over rows.

Everything costs O(n log n) in the rows n, whatever their distribution over groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ...windows import Flags, Ints, Series


@dataclass(frozen=True)
class Timeline:
    """Rows sorted by group and time. Spans are in microseconds, at most the `reach` that it was made with; both ends are included."""

    axis: Ints  # one time axis for all groups, on which rows of different groups are further apart than the reach

    @classmethod
    def of(cls, group: pl.Series, time: pl.Series, reach: int) -> Timeline:
        """`group` is null nowhere; rows with the same value lie together, in order of time."""
        numbers = group.rle_id().cast(pl.Int64).to_numpy()
        times = time.to_numpy()
        return cls(Series(numbers, times, np.zeros(times.size, np.int64), reach).axis)

    def count(self, flags: Flags, before: int, after: int = 0) -> Ints:
        """How many flagged rows lie around each row: from `before` earlier to `after` later, itself included."""
        opens, closes = self._around(before, after)
        sums = np.concatenate(([0], np.cumsum(flags)))
        counted: Ints = sums[closes] - sums[opens]
        return counted

    def any(self, flags: Flags, before: int, after: int = 0) -> Flags:
        """Whether there is one."""
        found: Flags = self.count(flags, before, after) > 0
        return found

    def first(self, flags: Flags, before: int, after: int = 0) -> Ints:
        """The number of the first of them; -1 where there is none."""
        opens, closes = self._around(before, after)
        numbers = np.append(np.flatnonzero(flags), np.iinfo(np.int64).max)
        found = numbers[np.searchsorted(numbers, opens)]
        return np.where(found < closes, found, -1)

    def _around(self, before: int, after: int) -> tuple[Ints, Ints]:
        """The rows around each row as [first, end)."""
        opens = np.searchsorted(self.axis, self.axis - before, side="left")
        return opens, np.searchsorted(self.axis, self.axis + after, side="right")
