"""Which edges can be part of a path: of most nothing comes, and the search looks at each one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from .parameters import GUEST_OPERATION, Hopping

c = pl.col
Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def connected(edges: pl.DataFrame, p: Hopping) -> pl.DataFrame:
    """Edges with another that comes before or goes on after them within the longest gap, those of the same machines by which a path is
    renewed until then, and guest operations. A fan of hops into nowhere is none, however wide. Sorting and binary search: O(n log n).
    """
    both = pl.concat([edges.get_column("from.name"), edges.get_column("to.name")]).cast(pl.Categorical)
    source, target = np.split(both.to_physical().to_numpy().astype(np.int64), 2)
    time = edges.get_column("time").to_numpy() - edges.select(c("time").min()).item()
    walks = edges.select(c("through") & (c("kind") == GUEST_OPERATION)).to_series().to_numpy()
    met = walks | _met(source, target, time, p.gap)
    return edges.filter(pl.Series(_renewed(met, source, target, time, p.gap)))


def _met(source: Ints, target: Ints, time: Ints, gap: int) -> Flags:
    """Whether somebody came to the source of an edge before it, or left its target after it. Machines lie on one axis, further apart than
    the gap.
    """
    width = int(time.max(initial=0)) + gap + 1
    left, came = source * width + time, target * width + time
    arrivals, departures = np.sort(came), np.sort(left)
    before = np.searchsorted(arrivals, left, "left") > np.searchsorted(arrivals, left - gap, "left")
    after = np.searchsorted(departures, came + gap, "right") > np.searchsorted(departures, came, "right")
    flags: Flags = before | after
    return flags


def _renewed(met: Flags, source: Ints, target: Ints, time: Ints, gap: int) -> Flags:
    """The flag of an edge, or of another of the same machines that follows it, or that it follows, gap by gap."""
    order = np.lexsort((time, target, source))
    parts = np.diff(source[order]).astype(bool) | np.diff(target[order]).astype(bool) | (np.diff(time[order]) > gap)
    run = np.concatenate([[0], np.cumsum(parts)])[:time.size]
    flags = np.empty(time.size, np.bool_)
    flags[order] = np.isin(run, run[met[order]])
    return flags
